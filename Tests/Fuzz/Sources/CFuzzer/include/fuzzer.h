/* The entry of libFuzzer for programs that have a main of their own (LLVM documentation, "libFuzzer", "Using
 * libFuzzer as a library"). */
#ifndef SLUICE_FUZZER_H
#define SLUICE_FUZZER_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerRunDriver(int *argc, char ***argv, int (*one_input)(const uint8_t *data, size_t size));

#endif
