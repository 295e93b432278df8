/*
 * balancers pick LIBRARY ENDPOINTS GONE          nanoseconds of processor time a pick, the median of 15 rounds; GONE of
 *                                                100 endpoints may not be taken; allocations in all picks; a sum
 * balancers simulate LIBRARY PER_SECOND SEED     mean p50 p99 p99.9 (ms), share of the slow endpoint, requests
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "balancers.h"

enum { KEYS = 4096, ROUNDS = 15, PICKS = 100000 };

/* These take the place of the C library's, in plugins too (glibc manual, "Replacing malloc"). */
static uint64_t allocations;
extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
void *malloc(size_t size) {
  allocations++;
  return __libc_malloc(size);
}
void *calloc(size_t count, size_t size) {
  allocations++;
  return __libc_calloc(count, size);
}
void *realloc(void *memory, size_t size) {
  allocations++;
  return __libc_realloc(memory, size);
}
void *aligned_alloc(size_t alignment, size_t size) {
  allocations++;
  return __libc_memalign(alignment, size);
}
int posix_memalign(void **memory, size_t alignment, size_t size) {
  allocations++;
  *memory = __libc_memalign(alignment, size);
  return *memory == NULL ? ENOMEM : 0;
}

static int ascending(const void *left, const void *right) {
  const double a = *(const double *)left, b = *(const double *)right;
  return (a > b) - (a < b);
}

/* Of this thread's processor time: what else runs on the machine is not measured. */
static uint64_t clock_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static int fail(const char *what, const char *problem) {
  fprintf(stderr, "%s: %s\n", what, problem);
  return 1;
}

static int measure(const char *library, uint32_t endpoints, uint32_t gone) {
  static char text[KEYS][32];
  static sluice_bytes keys[KEYS];
  struct balancer_pool pool;
  const char *problem = balancers_open(&pool, library, endpoints, 1);
  if (problem != NULL) return fail(library, problem);
  for (uint32_t i = 0; i < KEYS; i++) {
    keys[i] = (sluice_bytes){(const uint8_t *)text[i], (size_t)snprintf(text[i], 32, "session-%08x", i * 2654435761u)};
  }
  /* Every endpoint is busy, so that no search can end early, and has been heard of. */
  for (uint32_t i = 0; i < endpoints; i++) {
    pool.loads[2 * i].in_flight = 1 + i * 7919u % 9;
    const sluice_outcome outcome = {
        .endpoint = i, .status = SLUICE_OK, .http_status = 200, .attempt = 1,
        .first_byte_ns = 1000000 + i * 104729u % 9000000, .total_ns = 20000000, .ended_ns = balancers_now};
    if (pool.table->on_result != NULL) pool.table->on_result(pool.instances[0], &outcome);
    if (pool.second != NULL && pool.second->on_head != NULL) {
      const uint8_t load = (uint8_t)('0' + i * 31u % 10);
      const sluice_field field = {SLUICE_TEXT("x-load"), {&load, 1}};
      const sluice_answer_head head = {
          .endpoint = i, .http_status = 200, .attempt = 1, .field_count = 1, .fields = &field, .first_byte_ns = 1000};
      pool.second->on_head(pool.instances[0], &head);
    }
    if (i * 61 % 100 < gone) balancers_allow(&pool, i, false);
  }
  double rounds[ROUNDS];
  uint64_t sum = 0;
  const uint64_t before = allocations;
  for (int round = 0; round < ROUNDS; round++) {
    const uint64_t begin = clock_ns();
    for (uint32_t i = 0; i < PICKS; i++) sum += balancers_pick(&pool, 0, keys[i % KEYS]);
    rounds[round] = (double)(clock_ns() - begin) / PICKS;
  }
  const uint64_t allocated = allocations - before;
  qsort(rounds, ROUNDS, sizeof *rounds, ascending);
  printf("%.1f %llu %llu\n", rounds[ROUNDS / 2], (unsigned long long)allocated, (unsigned long long)sum);
  balancers_close(&pool);
  return 0;
}

int main(int count, char **arguments) {
  if (count == 5 && strcmp(arguments[1], "pick") == 0) {
    const int endpoints = atoi(arguments[3]), gone = atoi(arguments[4]);
    if (endpoints >= 1 && endpoints <= 4096 && gone >= 0 && gone < 100) {
      return measure(arguments[2], (uint32_t)endpoints, (uint32_t)gone);
    }
  }
  if (count == 5 && strcmp(arguments[1], "simulate") == 0) {
    struct balancers_quality quality;
    const char *problem =
        balancers_simulate(arguments[2], atof(arguments[3]), 60, strtoull(arguments[4], NULL, 10), &quality);
    if (problem != NULL) return fail(arguments[2], problem);
    printf("%.1f %.1f %.1f %.1f %.4f %llu\n", quality.mean, quality.p50, quality.p99, quality.p999,
           quality.slow_share, (unsigned long long)quality.requests);
    return 0;
  }
  fprintf(stderr, "usage: balancers pick LIBRARY ENDPOINTS GONE | balancers simulate LIBRARY PER_SECOND SEED\n");
  return 2;
}
