#define _GNU_SOURCE
#include "clinux.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

ssize_t clinux_recv(int descriptor, void *bytes, size_t count, int flags) {
  return syscall(SYS_recvfrom, descriptor, bytes, count, flags, NULL, NULL);
}

ssize_t clinux_send(int descriptor, const void *bytes, size_t count, int flags) {
  return syscall(SYS_sendto, descriptor, bytes, count, flags, NULL, 0);
}

ssize_t clinux_sendmsg(int descriptor, const struct msghdr *message, int flags) {
  return syscall(SYS_sendmsg, descriptor, message, flags);
}

int clinux_epoll_wait(int epoll, struct epoll_event *events, int capacity, int timeout_ms) {
  /* Not every machine has epoll_wait. 8: the bytes of the kernel's signal mask, of which there is none. */
  return (int)syscall(SYS_epoll_pwait, epoll, events, capacity, timeout_ms, NULL, 8);
}

int clinux_accept(int listener, struct sockaddr_storage *address, socklen_t *length) {
  return accept4(listener, (struct sockaddr *)address, length, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

int clinux_memfd_create(const char *name, unsigned int flags) { return (int)syscall(SYS_memfd_create, name, flags); }

int clinux_pin_thread(int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  return sched_setaffinity(0, sizeof(set), &set);
}

int clinux_core_count(void) {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return 1;
  return CPU_COUNT(&set);
}

int clinux_core_at(int index) {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return -1;
  for (int core = 0; core < CPU_SETSIZE; core++) {
    if (CPU_ISSET(core, &set) && index-- == 0) return core;
  }
  return -1;
}

void clinux_name_thread(const char *name) { pthread_setname_np(pthread_self(), name); }

const void *clinux_find(const void *text, size_t size, const void *part, size_t part_size) {
  return memmem(text, size, part, part_size);
}
