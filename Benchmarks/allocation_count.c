// Counts the calls that ask the system or the C library for memory, in a file that another process maps. Preloaded:
//
//   LD_PRELOAD=allocation_count.so ALLOCATION_COUNT_FILE=path program
//
// The file holds one 64-bit count for each name in `kinds`, in that order; allocations.py knows the same list. It
// must exist and have that size. Calls that glibc's allocator makes itself (its own mmap, brk) don't pass here: they
// follow from a call that does.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum kinds { count_malloc, count_calloc, count_realloc, count_aligned, count_mmap, count_free, kind_count };

// glibc's own names of what we replace, so that nothing has to be looked up, which would allocate. (malloc/malloc.c)
extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

static _Atomic uint64_t before_the_file[kind_count];
static _Atomic uint64_t *counts = before_the_file;

__attribute__((constructor)) static void map_counts(void) {
    const char *path = getenv("ALLOCATION_COUNT_FILE");
    int file = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
    if (file < 0) return;
    long address = syscall(SYS_mmap, NULL, sizeof before_the_file, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (address > 0 || address < -4095) counts = (_Atomic uint64_t *)address;
}

static void count(enum kinds kind) { atomic_fetch_add_explicit(&counts[kind], 1, memory_order_relaxed); }

void *malloc(size_t size) {
    count(count_malloc);
    return __libc_malloc(size);
}

void *calloc(size_t number, size_t size) {
    count(count_calloc);
    return __libc_calloc(number, size);
}

void *realloc(void *memory, size_t size) {
    count(count_realloc);
    return __libc_realloc(memory, size);
}

void *memalign(size_t alignment, size_t size) {
    count(count_aligned);
    return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
    count(count_aligned);
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **memory, size_t alignment, size_t size) {
    count(count_aligned);
    if (alignment % sizeof(void *) != 0 || (alignment & (alignment - 1)) != 0 || alignment == 0) return EINVAL;
    void *result = __libc_memalign(alignment, size);
    if (result == NULL) return ENOMEM;
    *memory = result;
    return 0;
}

void free(void *memory) {
    if (memory != NULL) count(count_free);
    __libc_free(memory);
}

void *mmap(void *address, size_t length, int protection, int flags, int file, off_t offset) {
    count(count_mmap);
    return (void *)syscall(SYS_mmap, address, length, protection, flags, file, offset);
}

void *mmap64(void *address, size_t length, int protection, int flags, int file, off_t offset) {
    count(count_mmap);
    return (void *)syscall(SYS_mmap, address, length, protection, flags, file, offset);
}

void *mremap(void *address, size_t old_length, size_t new_length, int flags, ...) {
    count(count_mmap);
    va_list rest;
    va_start(rest, flags);
    void *new_address = flags & MREMAP_FIXED ? va_arg(rest, void *) : NULL;
    va_end(rest);
    return (void *)syscall(SYS_mremap, address, old_length, new_length, flags, new_address);
}
