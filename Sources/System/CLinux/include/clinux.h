/* Kernel interfaces that Swift's Glibc module lacks or cannot import.
 *
 * The headers of this module are read by Swift beside Glibc's own and other libraries': none of them may define
 * _GNU_SOURCE, which changes the C library's types, and Swift refuses two modules that disagree about one. What needs
 * it is behind a function in the .c files. */
#ifndef SLUICE_CLINUX_H
#define SLUICE_CLINUX_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <linux/sockios.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/un.h>

/* `token` comes back with each event; the union of epoll_data_t is awkward to fill from Swift. */
static inline int clinux_epoll_add(int epoll, int descriptor, uint32_t events, uint64_t token) {
  struct epoll_event event;
  event.events = events;
  event.data.u64 = token;
  return epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event);
}

static inline uint64_t clinux_monotonic_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

static inline uint64_t clinux_wall_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

/* The calling thread's errno; Swift may clobber it between a call and a read of the thread-local. */
static inline int clinux_errno(void) { return errno; }

/* Bytes of a stream socket that its peer has not acknowledged, or, of a Unix socket, has not read. 0: none, or none to
 * be told. */
static inline int clinux_unacknowledged(int descriptor) {
  int bytes = 0;
  return ioctl(descriptor, SIOCOUTQ, &bytes) == 0 ? bytes : 0;
}

/* A system call: what it returns, or -errno. Written out where we know how: the C library's way is two calls longer,
 * and the return from each is mispredicted after the kernel has made so many calls of its own. What else its functions
 * provide for, that a thread is cancelled while it waits, does not occur in this process. */
static inline long clinux_call(
    long number, long first, long second, long third, long fourth, long fifth, long sixth) {
#if defined(__x86_64__) && defined(__LP64__)
  long result;
  register long r10 __asm__("r10") = fourth;
  register long r8 __asm__("r8") = fifth;
  register long r9 __asm__("r9") = sixth;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(first), "S"(second), "d"(third), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
#else
  long result = syscall(number, first, second, third, fourth, fifth, sixth);
  return result < 0 ? -(long)errno : result;
#endif
}

/* recv, send, sendmsg and epoll_wait, which return -errno when they fail. */
static inline ssize_t clinux_recv(int descriptor, void *bytes, size_t count, int flags) {
  return clinux_call(SYS_recvfrom, descriptor, (long)bytes, (long)count, flags, 0, 0);
}

static inline ssize_t clinux_send(int descriptor, const void *bytes, size_t count, int flags) {
  return clinux_call(SYS_sendto, descriptor, (long)bytes, (long)count, flags, 0, 0);
}

static inline ssize_t clinux_sendmsg(int descriptor, const struct msghdr *message, int flags) {
  return clinux_call(SYS_sendmsg, descriptor, (long)message, flags, 0, 0, 0);
}

static inline int clinux_epoll_wait(int epoll, struct epoll_event *events, int capacity, int timeout_ms) {
  /* Not every machine has epoll_wait. 8: the bytes of the kernel's signal mask, of which there is none. */
  return (int)clinux_call(SYS_epoll_pwait, epoll, (long)events, capacity, timeout_ms, 0, 8);
}

/* Asks for the cache line at `address`, which will be written; any address will do. */
static inline void clinux_prefetch(const void *address) { __builtin_prefetch(address, 1); }

/* accept4 with SOCK_NONBLOCK and SOCK_CLOEXEC. */
int clinux_accept(int listener, struct sockaddr_storage *address, socklen_t *length);

int clinux_memfd_create(const char *name, unsigned int flags);

/* Keeps the calling thread on one core; 0 or -1. */
int clinux_pin_thread(int core);

/* Cores that this process may run on, at least 1. */
int clinux_core_count(void);

/* The index-th core that this process may run on, or -1. */
int clinux_core_at(int index);

/* Names the calling thread; at most 15 characters, as the kernel keeps them. */
void clinux_name_thread(const char *name);

/* The first place of `part` in `text`, NULL when there is none: memmem, which is linear in the worst case. */
const void *clinux_find(const void *text, size_t size, const void *part, size_t part_size);

#endif
