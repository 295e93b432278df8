/*
 * Balancers as they were built, loaded from their libraries and driven through the plugin ABI: how long a pick takes,
 * and how well picks spread a load in a simulation. One thread.
 */
#ifndef BALANCERS_H
#define BALANCERS_H

#include <stdbool.h>
#include <stdint.h>

#include "sluice/plugin.h"

/* A pool of endpoints with their loads, and instances of one balancer over it, one a worker. */
struct balancer_pool {
  const sluice_balancer *table;
  const sluice_balancer_2 *second; /* NULL where the balancer reads no heads of answers */
  void **instances;
  uint32_t workers;
  uint32_t count;
  sluice_endpoint *endpoints;
  sluice_load *loads; /* two a cache line pair, as the gateway lays them out: element 2 i is endpoint i's */
  uint64_t *eligible;
  uint32_t eligible_count;
};

/* Nanoseconds of the clock that plugins are shown. */
extern uint64_t balancers_now;

/* Loads `library` and makes its instances, with no configuration. NULL when that worked, else why not; static. What
 * plugins keep with the host is forgotten first. */
const char *balancers_open(struct balancer_pool *pool, const char *library, uint32_t endpoints, uint32_t workers);
void balancers_close(struct balancer_pool *pool);

/* Bit `index` of the endpoints that may be taken. */
void balancers_allow(struct balancer_pool *pool, uint32_t index, bool allowed);

/* One pick, of worker `worker`, for a request of that session. */
uint32_t balancers_pick(struct balancer_pool *pool, uint32_t worker, sluice_bytes session);

/* What a simulated run gave; times in milliseconds. */
struct balancers_quality {
  double mean, p50, p99, p999;
  double slow_share; /* of the requests that went to the slow endpoint */
  uint64_t requests;
};

/*
 * Ten endpoints, each with 4 places and a queue; service takes 10 ms in the mean, exponentially distributed, at one of
 * them 100 ms. Requests come at random (Poisson) to one of four workers. The first 10 of `seconds` don't count. The
 * same arguments give the same answer. NULL when that worked.
 */
const char *balancers_simulate(const char *library, double per_second, double seconds, uint64_t seed,
                               struct balancers_quality *quality);

#endif
