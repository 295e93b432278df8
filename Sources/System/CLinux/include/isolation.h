/* What the plugin loader needs of the kernel and the Swift Glibc module lacks: seals, process descriptors, and the
 * ways in which a process gives up what it may do. */
#ifndef SLUICE_ISOLATION_H
#define SLUICE_ISOLATION_H

#include <stdbool.h>
#include "clinux.h"
#include <linux/capability.h>
#include <linux/landlock.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdlib.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U
#endif

/* A memory file that can be sealed and closes on exec. Never a program of its own where the kernel knows that flag
 * (6.3), which hosts with vm.memfd_noexec demand; mapping code from it is not affected. */
static inline int clinux_sealable_file(const char *name) {
  int descriptor = clinux_memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
  if (descriptor < 0 && errno == EINVAL) descriptor = clinux_memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  return descriptor;
}

static inline int clinux_seal(int descriptor) {
  return fcntl(descriptor, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
}

/* A descriptor at or above `lowest`, for the same file, that closes on exec. */
static inline int clinux_duplicate_above(int descriptor, int lowest) {
  return fcntl(descriptor, F_DUPFD_CLOEXEC, lowest);
}

static inline int clinux_pidfd_open(pid_t process) { return (int)syscall(SYS_pidfd_open, process, 0); }

/* Whether a child has ended; it stays to be reaped. */
static inline bool clinux_has_ended(pid_t process) {
  siginfo_t information;
  information.si_pid = 0;
  return waitid(P_PID, (id_t)process, &information, WEXITED | WNOHANG | WNOWAIT) == 0 && information.si_pid == process;
}

static inline char **clinux_environment(void) { return environ; }

/* Swift's Glibc module does not import these: the macros cast. */
static inline bool clinux_is_directory(mode_t mode) { return S_ISDIR(mode); }
static inline bool clinux_is_regular(mode_t mode) { return S_ISREG(mode); }
static inline bool clinux_exited(int status) { return WIFEXITED(status); }
static inline int clinux_exit_code(int status) { return WEXITSTATUS(status); }
static inline int clinux_termination_signal(int status) { return WIFSIGNALED(status) ? WTERMSIG(status) : 0; }

static inline int clinux_bound_resource(__rlimit_resource_t resource, rlim_t value) {
  struct rlimit limit = {value, value};
  return setrlimit(resource, &limit);
}

/* True when AddressSanitizer or ThreadSanitizer runs in this process: both are slower and reserve terabytes. */
static inline bool clinux_sanitized(void) {
  return dlsym(RTLD_DEFAULT, "__asan_init") != NULL || dlsym(RTLD_DEFAULT, "__tsan_init") != NULL;
}

/* Gives up every capability for good (capabilities(7)), keeps exec from granting any, and dies with the parent. The
 * user stays the same, so that what it may read stays what the host would read. -1 when capabilities remain. */
static inline int clinux_drop_privileges(void) {
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* no core file, also where a pipe takes them and ignores RLIMIT_CORE */
  for (int capability = 0; capability < 64; capability++) prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return -1;
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct none[2] = {{0, 0, 0}, {0, 0, 0}};
  return (int)syscall(SYS_capset, &header, none);
}

/* Whether the kernel has Landlock, and it is on. */
static inline bool clinux_can_deny_file_changes(void) {
  return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) > 0;
}

/* Denies this process every change of the file system by path, where the kernel has Landlock (5.13, landlock(7)).
 * Reads and descriptors that are open stay. After PR_SET_NO_NEW_PRIVS. 0, or -1 when the kernel cannot. */
static inline int clinux_deny_file_changes(void) {
  struct landlock_ruleset_attr rules = {0};
  rules.handled_access_fs = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |
                            LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR |
                            LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK |
                            LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM;
  int ruleset = (int)syscall(SYS_landlock_create_ruleset, &rules, sizeof(rules.handled_access_fs), 0);
  if (ruleset < 0) return -1;
  int outcome = (int)syscall(SYS_landlock_restrict_self, ruleset, 0);
  close(ruleset);
  return outcome;
}

#endif
