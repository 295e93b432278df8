/* The same feature macros as in CLinux: the C library's types have other fields without them, and Swift refuses two
 * modules that disagree. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include <openssl/evp.h>
