/* What the plugin loader needs of the kernel and the Swift Glibc module lacks: seals, process descriptors, and the
 * ways in which a process gives up what it may do. Like clinux.h without _GNU_SOURCE. */
#ifndef SLUICE_ISOLATION_H
#define SLUICE_ISOLATION_H

#include <stdbool.h>
#include <sys/types.h>
#include <sys/stat.h>
#include <sys/resource.h>
#include <spawn.h>

/* A memory file that can be sealed and closes on exec. Never a program of its own where the kernel knows that flag
 * (6.3), which hosts with vm.memfd_noexec demand; mapping code from it is not affected. */
int clinux_sealable_file(const char *name);

int clinux_seal(int descriptor);

/* A descriptor at or above `lowest`, for the same file, that closes on exec. */
int clinux_duplicate_above(int descriptor, int lowest);

/* pipe2 with O_CLOEXEC, and with O_NONBLOCK. */
int clinux_close_on_exec_pipe(int pipe[2]);
int clinux_pipe(int pipe[2]);

/* open with O_PATH and O_CLOEXEC and more flags. */
int clinux_open_path(const char *path, int flags);

/* posix_spawn_file_actions_addclosefrom_np. */
int clinux_spawn_close_from(posix_spawn_file_actions_t *actions, int lowest);

int clinux_pidfd_open(pid_t process);

/* Whether a child has ended; it stays to be reaped. */
bool clinux_has_ended(pid_t process);

char **clinux_environment(void);

/* Swift's Glibc module does not import these: the macros cast. */
bool clinux_is_directory(mode_t mode);

bool clinux_is_regular(mode_t mode);

bool clinux_exited(int status);

int clinux_exit_code(int status);

int clinux_termination_signal(int status);

int clinux_bound_resource(int resource, rlim_t value);

/* True when AddressSanitizer or ThreadSanitizer runs in this process: both are slower and reserve terabytes. */
bool clinux_sanitized(void);

/* Gives up every capability for good (capabilities(7)), keeps exec from granting any, and dies with the parent. The
 * user stays the same, so that what it may read stays what the host would read. -1 when capabilities remain. */
int clinux_drop_privileges(void);

/* Whether the kernel has Landlock, and it is on. */
bool clinux_can_deny_file_changes(void);

/* Denies this process every change of the file system by path, where the kernel has Landlock (5.13, landlock(7)).
 * Reads and descriptors that are open stay. After PR_SET_NO_NEW_PRIVS. 0, or -1 when the kernel cannot. */
int clinux_deny_file_changes(void);

/* dlopen with RTLD_NOW, RTLD_LOCAL and RTLD_NODELETE; NULL with the linker's words in `fault`, which live until the
 * thread's next call of the linker. */
void *clinux_open_library(const char *name, const char **fault);

/* The file that the library of a handle was loaded from; NULL when the linker does not tell. Lives as long as the
 * library. */
const char *clinux_library_path(void *library);

/* A symbol of a library or of what it needs: NULL when there is none. `is_function` is false for data; what the linker
 * chose at load (an indirect function) is one. */
void *clinux_library_symbol(void *library, const char *name, bool *is_function);

#endif
