/*
 * Round robin: each pick takes the next eligible endpoint after the one before. Weights are not looked at: a pool whose
 * endpoints differ wants another balancer.
 *
 * Every worker has an instance of its own for each pool and shares nothing with the others. They begin at different
 * places of the pool, a worker's share apart; if all began at its first endpoint, a burst that reaches every worker at
 * once would fall on one endpoint after the other.
 */
#include <stdlib.h>

#include "sluice/plugin.h"

/* Tagged by version: two builds of this plugin may live in one process. */
struct round_robin_2 {
  uint32_t next;  /* where the search for a request's first attempt begins */
  uint32_t again; /* the same for further ones */
  uint32_t worker;
  uint32_t worker_count;
  bool started;
};

static const void *service(const sluice_host *host, sluice_bytes id) { return host->service(host->context, id); }

/* It has nothing to configure; a key that stands there is a mistake which the operator should hear of. */
static bool has_configuration(const sluice_host *host, const sluice_config_node *node) {
  static const sluice_bytes id = SLUICE_TEXT(SLUICE_CONFIG);
  static const sluice_bytes message = SLUICE_TEXT("round robin takes no configuration");
  const sluice_config *config = service(host, id);
  if (config == NULL || node == NULL) return false;
  const uint32_t kind = config->kind(host->context, node);
  if (kind == SLUICE_CONFIG_NULL) return false;
  if (kind == SLUICE_CONFIG_MAPPING && config->count(host->context, node) == 0) return false;
  const sluice_config_node *first = config->at(host->context, node, 0, NULL);
  config->error(host->context, first != NULL ? first : node, message);
  return true;
}

static sluice_status create(const sluice_host *host, const sluice_create *arguments, void **instance) {
  if (has_configuration(host, arguments->config)) return SLUICE_INVALID_ARGUMENT;
  struct round_robin_2 *self = calloc(1, sizeof *self);
  if (self == NULL) return SLUICE_RESOURCE_EXHAUSTED;
  self->worker = arguments->worker;
  self->worker_count = arguments->worker_count;
  *instance = self;
  return SLUICE_OK;
}

static void destroy(void *instance) { free(instance); }

static uint32_t pick(void *instance, sluice_exchange *exchange, const sluice_request *request,
                     const sluice_pick *asked) {
  (void)exchange;
  (void)request;
  struct round_robin_2 *self = instance;
  const uint32_t count = asked->count;
  if (!self->started) {
    self->started = true;
    if (self->worker < self->worker_count) {
      self->next = (uint32_t)((uint64_t)self->worker * count / self->worker_count);
      self->again = self->next;
    }
  }
  /* A retry or a hedge takes no turn from a first attempt: of two endpoints of which one fails, each failure would give
   * that one the next request, too. It has turns of its own, so that the others share what one leaves them. */
  uint32_t *const turn = asked->attempt > 1 ? &self->again : &self->next;
  /* The pool may have shrunk since. */
  uint32_t index = *turn < count ? *turn : 0;
  for (uint32_t tried = 0; tried < count; tried++) {
    const uint32_t following = index + 1 < count ? index + 1 : 0;
    if (sluice_pick_eligible(asked, index)) {
      *turn = following;
      return index;
    }
    index = following;
  }
  return 0; /* nothing is eligible: the host does not ask then */
}

static const sluice_balancer balancer = {
    .base = {.struct_size = sizeof(sluice_balancer),
             .instancing = SLUICE_INSTANCE_PER_WORKER,
             .create = create,
             .destroy = destroy},
    .pick = pick,
};

static const sluice_extension extensions[] = {{.id = SLUICE_TEXT(SLUICE_BALANCER), .table = &balancer}};

static const sluice_plugin plugin = {
    .struct_size = sizeof(sluice_plugin),
    .abi_version = SLUICE_ABI_VERSION,
    .name = SLUICE_TEXT("round-robin"),
    .version = SLUICE_TEXT("0.1.0"),
    .vendor = SLUICE_TEXT("Sluice"),
    .licence = SLUICE_TEXT("Apache-2.0"),
    .extensions = extensions,
    .extension_count = 1,
};

const sluice_plugin *sluice_plugin_entry(uint32_t host_abi_version) {
  (void)host_abi_version;
  return &plugin;
}
