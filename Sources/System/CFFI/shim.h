/* libffi, and what of it Swift cannot say: its types are mutable globals, its calls take casts. */
#ifndef SLUICE_CFFI_H
#define SLUICE_CFFI_H

#include <ffi.h>
#include <stdint.h>

/* Types by the order of the rule language's own: i8 to i64, u8 to u64, f32, f64, bool, pointer. NULL beyond. */
static inline ffi_type *cffi_type(uint32_t kind) {
  switch (kind) {
  case 0: return &ffi_type_sint8;
  case 1: return &ffi_type_sint16;
  case 2: return &ffi_type_sint32;
  case 3: return &ffi_type_sint64;
  case 4: return &ffi_type_uint8;
  case 5: return &ffi_type_uint16;
  case 6: return &ffi_type_uint32;
  case 7: return &ffi_type_uint64;
  case 8: return &ffi_type_float;
  case 9: return &ffi_type_double;
  case 10: return &ffi_type_uint8; /* _Bool is passed as an unsigned char is */
  case 11: return &ffi_type_pointer;
  default: return (ffi_type *)0;
  }
}

/* False when libffi refuses the signature. `types` and what it points to live as long as `call`. */
static inline _Bool cffi_prepare(ffi_cif *call, uint32_t count, ffi_type *result, ffi_type **types) {
  return ffi_prep_cif(call, FFI_DEFAULT_ABI, count, result, types) == FFI_OK;
}

static inline void cffi_call(ffi_cif *call, void *function, void *result, void **arguments) {
  ffi_call(call, FFI_FN(function), result, arguments);
}

#endif
