/* Balancing quality in virtual time: events in a heap, nothing measured by a clock. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "balancers.h"

enum { ENDPOINTS = 10, SLOW = 3, PLACES = 4, WORKERS = 4 };
static const double FAST_MEAN = 10e6, SLOW_MEAN = 100e6; /* ns */
static const double WARM_UP = 10e9;
/* Requests under way or waiting at once: the most that a run which diverges piles up. */
enum { PENDING_AT_MOST = 1 << 18 };

struct request {
  double began;
  uint32_t worker;
  uint32_t endpoint;
};
struct event {
  double at;
  uint32_t request; /* the slot of the one that ends */
};
struct queue {
  uint32_t *waiting; /* a ring of slots */
  uint32_t head, count, busy;
};
struct simulation {
  struct balancer_pool pool;
  struct request *requests;
  uint32_t *free_slots;
  uint32_t free_count;
  struct event *heap;
  uint32_t heap_count;
  struct queue queues[ENDPOINTS];
  uint64_t random;
  double now;
};

/* SplitMix64. */
static uint64_t next(struct simulation *s) {
  uint64_t z = s->random += 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}
static double exponential(struct simulation *s, double mean) {
  return -mean * log(((double)(next(s) >> 11) + 0.5) * 0x1p-53);
}

static void push(struct simulation *s, struct event event) {
  uint32_t i = s->heap_count++;
  for (; i > 0 && s->heap[(i - 1) / 2].at > event.at; i = (i - 1) / 2) s->heap[i] = s->heap[(i - 1) / 2];
  s->heap[i] = event;
}
static struct event pop(struct simulation *s) {
  struct event first = s->heap[0], last = s->heap[--s->heap_count];
  uint32_t i = 0;
  for (uint32_t child = 1; child < s->heap_count; i = child, child = 2 * i + 1) {
    if (child + 1 < s->heap_count && s->heap[child + 1].at < s->heap[child].at) child++;
    if (s->heap[child].at >= last.at) break;
    s->heap[i] = s->heap[child];
  }
  s->heap[i] = last;
  return first;
}

static void serve(struct simulation *s, uint32_t slot) {
  const uint32_t endpoint = s->requests[slot].endpoint;
  s->queues[endpoint].busy++;
  push(s, (struct event){s->now + exponential(s, endpoint == SLOW ? SLOW_MEAN : FAST_MEAN), slot});
}

/* False when no more fits. */
static bool arrive(struct simulation *s, uint64_t *slow) {
  if (s->free_count == 0) return false;
  const uint32_t slot = s->free_slots[--s->free_count];
  const uint32_t worker = (uint32_t)(next(s) % WORKERS);
  const uint32_t endpoint = balancers_pick(&s->pool, worker, (sluice_bytes){NULL, 0}) % ENDPOINTS;
  sluice_load *load = &s->pool.loads[2 * endpoint];
  load->in_flight++;
  load->requests++;
  s->requests[slot] = (struct request){s->now, worker, endpoint};
  struct queue *queue = &s->queues[endpoint];
  if (endpoint == SLOW && s->now >= WARM_UP) ++*slow;
  if (queue->busy < PLACES) {
    serve(s, slot);
  } else {
    queue->waiting[(queue->head + queue->count++) % PENDING_AT_MOST] = slot;
  }
  return true;
}

/* The latency of the request that ended. */
static double end(struct simulation *s, uint32_t slot) {
  const struct request request = s->requests[slot];
  struct queue *queue = &s->queues[request.endpoint];
  const double latency = s->now - request.began;
  s->pool.loads[2 * request.endpoint].in_flight--;
  if (s->pool.table->on_result != NULL) {
    const sluice_outcome outcome = {
        .endpoint = request.endpoint, .status = SLUICE_OK, .http_status = 200, .attempt = 1,
        .first_byte_ns = (uint64_t)latency, .total_ns = (uint64_t)latency, .ended_ns = balancers_now};
    s->pool.table->on_result(s->pool.instances[request.worker], &outcome);
  }
  s->free_slots[s->free_count++] = slot;
  queue->busy--;
  if (queue->count > 0) {
    const uint32_t following = queue->waiting[queue->head];
    queue->head = (queue->head + 1) % PENDING_AT_MOST;
    queue->count--;
    serve(s, following);
  }
  return latency;
}

static int ascending(const void *left, const void *right) {
  const double a = *(const double *)left, b = *(const double *)right;
  return (a > b) - (a < b);
}

static void summarise(double *latencies, uint64_t count, uint64_t slow, struct balancers_quality *quality) {
  memset(quality, 0, sizeof *quality);
  if (count == 0) return;
  qsort(latencies, count, sizeof *latencies, ascending);
  double sum = 0;
  for (uint64_t i = 0; i < count; i++) sum += latencies[i];
  quality->requests = count;
  quality->mean = sum / (double)count / 1e6;
  quality->p50 = latencies[count / 2] / 1e6;
  quality->p99 = latencies[count * 99 / 100] / 1e6;
  quality->p999 = latencies[count * 999 / 1000] / 1e6;
  quality->slow_share = (double)slow / (double)count;
}

const char *balancers_simulate(const char *library, double per_second, double seconds, uint64_t seed,
                               struct balancers_quality *quality) {
  struct simulation s = {.random = seed};
  const char *problem = balancers_open(&s.pool, library, ENDPOINTS, WORKERS);
  if (problem != NULL) return problem;
  const uint64_t most = (uint64_t)(per_second * seconds * 1.2) + 1000;
  double *latencies = calloc(most, sizeof *latencies);
  s.requests = calloc(PENDING_AT_MOST, sizeof *s.requests);
  s.free_slots = calloc(PENDING_AT_MOST, sizeof *s.free_slots);
  s.heap = calloc(ENDPOINTS * PLACES + 1, sizeof *s.heap);
  bool memory = latencies && s.requests && s.free_slots && s.heap;
  for (uint32_t i = 0; i < ENDPOINTS; i++) {
    s.queues[i].waiting = calloc(PENDING_AT_MOST, sizeof *s.queues[i].waiting);
    memory = memory && s.queues[i].waiting;
  }
  if (!memory) return "no memory";
  for (uint32_t i = 0; i < PENDING_AT_MOST; i++) s.free_slots[s.free_count++] = i;

  uint64_t count = 0, slow = 0;
  double arrival = exponential(&s, 1e9 / per_second);
  const double end_of_arrivals = seconds * 1e9;
  while (arrival < end_of_arrivals || s.heap_count > 0) {
    if (arrival < end_of_arrivals && (s.heap_count == 0 || arrival <= s.heap[0].at)) {
      s.now = arrival;
      balancers_now = 1000000000 + (uint64_t)s.now;
      if (!arrive(&s, &slow)) problem = "too many requests wait";
      if (problem != NULL) break;
      arrival += exponential(&s, 1e9 / per_second);
    } else {
      const struct event event = pop(&s);
      s.now = event.at;
      balancers_now = 1000000000 + (uint64_t)s.now;
      const bool counts = s.requests[event.request].began >= WARM_UP && count < most;
      const double latency = end(&s, event.request);
      if (counts) latencies[count++] = latency;
    }
  }
  summarise(latencies, count, slow, quality);
  for (uint32_t i = 0; i < ENDPOINTS; i++) free(s.queues[i].waiting);
  free(latencies);
  free(s.requests);
  free(s.free_slots);
  free(s.heap);
  balancers_close(&s.pool);
  return problem;
}
