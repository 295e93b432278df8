#define _GNU_SOURCE
#include "isolation.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clinux.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U
#endif

int clinux_sealable_file(const char *name) {
  int descriptor = clinux_memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
  if (descriptor < 0 && errno == EINVAL) descriptor = clinux_memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  return descriptor;
}

int clinux_seal(int descriptor) {
  return fcntl(descriptor, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
}

int clinux_duplicate_above(int descriptor, int lowest) {
  return fcntl(descriptor, F_DUPFD_CLOEXEC, lowest);
}

int clinux_close_on_exec_pipe(int pipe[2]) { return pipe2(pipe, O_CLOEXEC); }

int clinux_pipe(int pipe[2]) { return pipe2(pipe, O_CLOEXEC | O_NONBLOCK); }

int clinux_open_path(const char *path, int flags) { return open(path, O_PATH | O_CLOEXEC | flags); }

int clinux_spawn_close_from(posix_spawn_file_actions_t *actions, int lowest) {
  return posix_spawn_file_actions_addclosefrom_np(actions, lowest);
}

int clinux_pidfd_open(pid_t process) { return (int)syscall(SYS_pidfd_open, process, 0); }

bool clinux_has_ended(pid_t process) {
  siginfo_t information;
  information.si_pid = 0;
  return waitid(P_PID, (id_t)process, &information, WEXITED | WNOHANG | WNOWAIT) == 0 && information.si_pid == process;
}

char **clinux_environment(void) { return environ; }

bool clinux_is_directory(mode_t mode) { return S_ISDIR(mode); }

bool clinux_is_regular(mode_t mode) { return S_ISREG(mode); }

bool clinux_exited(int status) { return WIFEXITED(status); }

int clinux_exit_code(int status) { return WEXITSTATUS(status); }

int clinux_termination_signal(int status) { return WIFSIGNALED(status) ? WTERMSIG(status) : 0; }

int clinux_bound_resource(int resource, rlim_t value) {
  struct rlimit limit = {value, value};
  return setrlimit((__rlimit_resource_t)resource, &limit);
}

bool clinux_sanitized(void) {
  return dlsym(RTLD_DEFAULT, "__asan_init") != NULL || dlsym(RTLD_DEFAULT, "__tsan_init") != NULL;
}

int clinux_drop_privileges(void) {
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* no core file, also where a pipe takes them and ignores RLIMIT_CORE */
  for (int capability = 0; capability < 64; capability++) prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return -1;
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct none[2] = {{0, 0, 0}, {0, 0, 0}};
  return (int)syscall(SYS_capset, &header, none);
}

bool clinux_can_deny_file_changes(void) {
  return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) > 0;
}

int clinux_deny_file_changes(void) {
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


void *clinux_open_library(const char *name, const char **fault) {
  void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  *fault = library == NULL ? dlerror() : NULL;
  return library;
}

const char *clinux_library_path(void *library) {
  struct link_map *map = NULL;
  return dlinfo(library, RTLD_DI_LINKMAP, &map) == 0 && map != NULL ? map->l_name : NULL;
}

void *clinux_library_symbol(void *library, const char *name, bool *is_function) {
  *is_function = true;
  void *address = dlsym(library, name);
  if (address == NULL) return NULL;
  Dl_info information;
  const ElfW(Sym) *symbol = NULL;
  /* An indirect function's choice may have no symbol of its own: then nothing speaks against it. */
  if (dladdr1(address, &information, (void **)&symbol, RTLD_DL_SYMENT) != 0 && symbol != NULL &&
      information.dli_saddr == address) {
    unsigned char type = ELF64_ST_TYPE(symbol->st_info);
    *is_function = type != STT_OBJECT && type != STT_TLS && type != STT_COMMON;
  }
  return address;
}
