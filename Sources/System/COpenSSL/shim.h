#ifndef SLUICE_COPENSSL_SHIM_H
#define SLUICE_COPENSSL_SHIM_H

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

/* What OpenSSL has as macros, which Swift does not see. */

static inline void shim_ctx_set_mode(SSL_CTX *ctx, long mode) { SSL_CTX_set_mode(ctx, mode); }
static inline int shim_ctx_set_versions(SSL_CTX *ctx, int least, int most) {
  return SSL_CTX_set_min_proto_version(ctx, least) && SSL_CTX_set_max_proto_version(ctx, most);
}
static inline int shim_ctx_set_groups(SSL_CTX *ctx, const char *names) {
  return (int)SSL_CTX_set1_groups_list(ctx, names);
}
static inline int shim_ctx_add_chain(SSL_CTX *ctx, X509 *certificate) {
  return (int)SSL_CTX_add1_chain_cert(ctx, certificate);
}
static inline void shim_ctx_cache_mode(SSL_CTX *ctx, long mode) { SSL_CTX_set_session_cache_mode(ctx, mode); }
static inline int shim_ctx_ticket_keys(SSL_CTX *ctx, void *keys, long size) {
  return (int)SSL_CTX_set_tlsext_ticket_keys(ctx, keys, size);
}
static inline void shim_ctx_on_server_name(SSL_CTX *ctx, int (*call)(SSL *, int *, void *), void *argument) {
  SSL_CTX_set_tlsext_servername_callback(ctx, call);
  SSL_CTX_set_tlsext_servername_arg(ctx, argument);
}
/* Adds to `*count` for each message of the handshake protocol that comes in; `count` lives as long as `ssl`. */
static inline void shim_count_message(int is_sent, int version, int type, const void *bytes, size_t size, SSL *ssl,
                                      void *count) {
  (void)version, (void)bytes, (void)size, (void)ssl;
  if (!is_sent && type == SSL3_RT_HANDSHAKE) ++*(unsigned *)count;
}
static inline void shim_count_messages(SSL *ssl, unsigned *count) {
  SSL_set_msg_callback(ssl, shim_count_message);
  SSL_set_msg_callback_arg(ssl, count);
}
static inline void shim_ctx_no_auto_retry(SSL_CTX *ctx) { SSL_CTX_clear_mode(ctx, SSL_MODE_AUTO_RETRY); }
static inline void shim_ctx_read_ahead(SSL_CTX *ctx) { SSL_CTX_set_read_ahead(ctx, 1); }
static inline int shim_set_server_name(SSL *ssl, const char *name) { return (int)SSL_set_tlsext_host_name(ssl, name); }
static inline int shim_error_reason(unsigned long code) { return ERR_GET_REASON(code); }
static inline int shim_error_library(unsigned long code) { return ERR_GET_LIB(code); }
static inline int shim_ctx_data_index(CRYPTO_EX_free *release) {
  return SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, release);
}
/* No renegotiation (RFC 9325 §3.5), no compression (§3.3); the server's order of suites counts. */
static inline void shim_ctx_set_options(SSL_CTX *ctx) {
  SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
}
/* RFC 2253, control characters escaped, other bytes as they are. */
static inline unsigned long shim_subject_format(void) { return XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB; }

#endif
