/* The least of a host that the shipped balancers ask for. What they don't call is not there. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "balancers.h"

uint64_t balancers_now;

static bool is(sluice_bytes text, const char *literal) {
  return text.size == strlen(literal) && memcmp(text.data, literal, text.size) == 0;
}

static bool log_enabled(void *context, uint32_t level) {
  (void)context;
  (void)level;
  return false;
}
static void log_write(void *context, uint32_t level, sluice_bytes message) {
  (void)context;
  (void)level;
  (void)message;
}
static void log_fail(void *context, sluice_bytes message) {
  (void)context;
  fprintf(stderr, "%.*s\n", (int)message.size, (const char *)message.data);
}
static uint64_t now(void *context) {
  (void)context;
  return balancers_now;
}

/*
 * `config: { headers: { queue: x-load } }` for balancers that read the heads of answers, which must be told what to
 * read there; others get none. Nodes are told apart by their addresses alone.
 */
static const char root[1], headers[1], queue[1];
static const sluice_config_node *node(const char *which) { return (const sluice_config_node *)which; }
static uint32_t config_kind(void *context, const sluice_config_node *asked) {
  (void)context;
  if (asked == NULL) return SLUICE_CONFIG_NULL;
  return asked == node(queue) ? SLUICE_CONFIG_SCALAR : SLUICE_CONFIG_MAPPING;
}
static size_t config_count(void *context, const sluice_config_node *asked) {
  return config_kind(context, asked) == SLUICE_CONFIG_MAPPING ? 1 : 0;
}
static const sluice_config_node *config_at(void *context, const sluice_config_node *asked, size_t index,
                                           sluice_bytes *key) {
  if (index >= config_count(context, asked)) return NULL;
  const bool outer = asked == node(root);
  if (key != NULL) *key = outer ? (sluice_bytes)SLUICE_TEXT("headers") : (sluice_bytes)SLUICE_TEXT("queue");
  return outer ? node(headers) : node(queue);
}
static const sluice_config_node *config_find(void *context, const sluice_config_node *asked, sluice_bytes key) {
  sluice_bytes only;
  const sluice_config_node *found = config_at(context, asked, 0, &only);
  return found != NULL && key.size == only.size && memcmp(key.data, only.data, key.size) == 0 ? found : NULL;
}
static bool config_text(void *context, const sluice_config_node *asked, sluice_bytes *out) {
  (void)context;
  if (asked != node(queue)) return false;
  *out = (sluice_bytes)SLUICE_TEXT("x-load");
  return true;
}

static uint32_t metric_declare(void *context, uint32_t kind, sluice_bytes name, sluice_bytes description,
                               const sluice_field *labels, uint32_t label_count) {
  (void)context, (void)kind, (void)name, (void)description, (void)labels, (void)label_count;
  return 0;
}
static void metric_take(void *context, uint32_t metric, double value) { (void)context, (void)metric, (void)value; }

/* Nobody waits for a timer here. */
static uint64_t timer_start(void *context, uint64_t delay_ns, void (*fire)(void *user), void *user) {
  (void)context, (void)delay_ns, (void)fire, (void)user;
  return 1;
}
static void timer_cancel(void *context, uint64_t timer) { (void)context, (void)timer; }

/* Blocks by name; a pool under test has few. */
static struct {
  char name[64];
  void *memory;
} blocks[16];
static void *state_block(void *context, sluice_bytes name, size_t size) {
  (void)context;
  for (unsigned i = 0; i < sizeof blocks / sizeof *blocks; i++) {
    if (blocks[i].memory == NULL) {
      if (name.size >= sizeof blocks[i].name) return NULL;
      memcpy(blocks[i].name, name.data, name.size);
      blocks[i].name[name.size] = 0;
      blocks[i].memory = aligned_alloc(64, (size + 63) / 64 * 64);
      if (blocks[i].memory != NULL) memset(blocks[i].memory, 0, size);
      return blocks[i].memory;
    }
    if (is(name, blocks[i].name)) return blocks[i].memory;
  }
  return NULL;
}
static void forget_blocks(void) {
  for (unsigned i = 0; i < sizeof blocks / sizeof *blocks; i++) {
    free(blocks[i].memory);
    blocks[i].memory = NULL;
  }
}

static sluice_bytes no_header(void *context, sluice_exchange *exchange, sluice_bytes name, bool *found) {
  (void)context;
  (void)exchange;
  (void)name;
  if (found != NULL) *found = false;
  return (sluice_bytes){NULL, 0};
}

static const sluice_log log_table = {sizeof log_table, 0, log_enabled, log_write, log_fail};
static const sluice_clock clock_table = {sizeof clock_table, 0, now, now};
static const sluice_memory memory_table = {.struct_size = sizeof memory_table};
static const sluice_config config_table = {
    .struct_size = sizeof config_table,
    .kind = config_kind,
    .count = config_count,
    .at = config_at,
    .find = config_find,
    .text = config_text,
};
static const sluice_metrics metrics_table = {sizeof metrics_table, 0, metric_declare, metric_take, metric_take};
static const sluice_timer timer_table = {sizeof timer_table, 0, timer_start, timer_cancel};
static const sluice_offload offload_table = {.struct_size = sizeof offload_table};
static const sluice_exchange_service exchange_table = {.struct_size = sizeof exchange_table, .header = no_header};
static const sluice_state state_table = {sizeof state_table, 0, state_block};
static const sluice_models models_table = {.struct_size = sizeof models_table};

static const void *service(void *context, sluice_bytes id) {
  (void)context;
  if (is(id, SLUICE_LOG)) return &log_table;
  if (is(id, SLUICE_CLOCK)) return &clock_table;
  if (is(id, SLUICE_MEMORY)) return &memory_table;
  if (is(id, SLUICE_CONFIG)) return &config_table;
  if (is(id, SLUICE_METRICS)) return &metrics_table;
  if (is(id, SLUICE_TIMER)) return &timer_table;
  if (is(id, SLUICE_OFFLOAD)) return &offload_table;
  if (is(id, SLUICE_EXCHANGE)) return &exchange_table;
  if (is(id, SLUICE_STATE)) return &state_table;
  if (is(id, SLUICE_MODELS)) return &models_table;
  return NULL;
}

static const sluice_host host = {sizeof host, SLUICE_ABI_VERSION, NULL, service};

/* A table of version 2, which begins as one of version 1 does, is left in `second`, too. */
static const sluice_balancer *balancer_of(const char *library, const sluice_balancer_2 **second) {
  void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
  if (handle == NULL) {
    fprintf(stderr, "%s\n", dlerror());
    return NULL;
  }
  const sluice_plugin *(*entry)(uint32_t) = (const sluice_plugin *(*)(uint32_t))dlsym(handle, "sluice_plugin_entry");
  const sluice_plugin *plugin = entry == NULL ? NULL : entry(SLUICE_ABI_VERSION);
  for (uint32_t i = 0; plugin != NULL && i < plugin->extension_count; i++) {
    if (is(plugin->extensions[i].id, SLUICE_BALANCER_2)) {
      *second = plugin->extensions[i].table;
      return plugin->extensions[i].table;
    }
    if (is(plugin->extensions[i].id, SLUICE_BALANCER)) return plugin->extensions[i].table;
  }
  return NULL;
}

const char *balancers_open(struct balancer_pool *pool, const char *library, uint32_t endpoints, uint32_t workers) {
  memset(pool, 0, sizeof *pool);
  forget_blocks();
  balancers_now = 1000000000;
  pool->table = balancer_of(library, &pool->second);
  if (pool->table == NULL) return "the library offers no balancer";
  pool->count = endpoints;
  pool->workers = workers;
  pool->endpoints = calloc(endpoints, sizeof *pool->endpoints);
  pool->loads = aligned_alloc(128, endpoints * 2 * sizeof *pool->loads);
  pool->eligible = calloc((endpoints + 63) / 64, sizeof *pool->eligible);
  pool->instances = calloc(workers, sizeof *pool->instances);
  char *addresses = calloc(endpoints, 64);
  if (!pool->endpoints || !pool->loads || !pool->eligible || !pool->instances || !addresses) return "no memory";
  memset(pool->loads, 0, endpoints * 2 * sizeof *pool->loads);
  for (uint32_t i = 0; i < endpoints; i++) {
    char *address = addresses + (size_t)i * 64;
    int length = snprintf(address, 64, "http://10.0.%u.%u:8080", i / 250, i % 250 + 1);
    pool->loads[2 * i].healthy = 1;
    pool->endpoints[i] = (sluice_endpoint){
        i, {(const uint8_t *)address, (size_t)length}, 1, 0, &pool->loads[2 * i]};
    balancers_allow(pool, i, true);
  }
  for (uint32_t i = 0; i < workers; i++) {
    sluice_create arguments = {.struct_size = sizeof arguments, .worker = i, .worker_count = workers};
    if (pool->second != NULL) arguments.config = node(root);
    if (pool->table->base.create(&host, &arguments, &pool->instances[i]) != SLUICE_OK) return "create failed";
    if (pool->table->on_endpoints) pool->table->on_endpoints(pool->instances[i], pool->endpoints, endpoints);
  }
  return NULL;
}

void balancers_close(struct balancer_pool *pool) {
  for (uint32_t i = 0; i < pool->workers; i++) {
    if (pool->instances[i] != NULL) pool->table->base.destroy(pool->instances[i]);
  }
  if (pool->endpoints != NULL) free((void *)pool->endpoints[0].address.data);
  free(pool->instances);
  free(pool->endpoints);
  free(pool->loads);
  free(pool->eligible);
}

void balancers_allow(struct balancer_pool *pool, uint32_t index, bool allowed) {
  const uint64_t bit = 1ull << (index & 63);
  const bool was = (pool->eligible[index >> 6] & bit) != 0;
  if (was == allowed) return;
  pool->eligible[index >> 6] ^= bit;
  pool->eligible_count += allowed ? 1 : UINT32_MAX;
}

uint32_t balancers_pick(struct balancer_pool *pool, uint32_t worker, sluice_bytes session) {
  static const sluice_message message;
  /* Made once: the gateway has it anyway. */
  static sluice_request request = {.message = &message, .model_id = SLUICE_NONE, .priority = 5};
  request.session = session;
  const sluice_pick pick = {pool->endpoints, pool->count, 1, pool->eligible, pool->eligible_count,
                            (uint32_t)(balancers_now / 1000000)};
  return pool->table->pick(pool->instances[worker], NULL, &request, &pick);
}
