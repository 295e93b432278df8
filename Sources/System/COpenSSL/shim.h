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
static inline int shim_set_only_version(SSL *ssl, int version) {
  return SSL_set_min_proto_version(ssl, version) && SSL_set_max_proto_version(ssl, version);
}
static inline int shim_set_signature_algorithms(SSL *ssl, const char *names) {
  return (int)SSL_set1_sigalgs_list(ssl, names);
}
static inline int shim_error_reason(unsigned long code) { return ERR_GET_REASON(code); }
static inline int shim_error_library(unsigned long code) { return ERR_GET_LIB(code); }
static inline int shim_ctx_data_index(CRYPTO_EX_free *release) {
  return SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, release);
}
/* Whether each name that `one` is valid for is one of `other`'s, too. */
static inline int shim_names_are_among(const GENERAL_NAMES *one, const GENERAL_NAMES *other) {
  for (int i = 0; i < sk_GENERAL_NAME_num(one); i++) {
    int j = 0;
    while (j < sk_GENERAL_NAME_num(other) &&
           GENERAL_NAME_cmp(sk_GENERAL_NAME_value(one, i), sk_GENERAL_NAME_value(other, j)) != 0)
      j++;
    if (j == sk_GENERAL_NAME_num(other)) return 0;
  }
  return 1;
}
/* Whether two certificates are valid for the same names, in whatever order they have them. Without alternative names
 * their subjects have to be one, as the name stands there. */
static inline int shim_same_names(X509 *one, X509 *other) {
  GENERAL_NAMES *first = (GENERAL_NAMES *)X509_get_ext_d2i(one, NID_subject_alt_name, NULL, NULL);
  GENERAL_NAMES *second = (GENERAL_NAMES *)X509_get_ext_d2i(other, NID_subject_alt_name, NULL, NULL);
  int same = first && second ? shim_names_are_among(first, second) && shim_names_are_among(second, first)
                             : !first && !second &&
                                   X509_NAME_cmp(X509_get_subject_name(one), X509_get_subject_name(other)) == 0;
  GENERAL_NAMES_free(first);
  GENERAL_NAMES_free(second);
  return same;
}
/* The kind of key that a certificate is of, as OpenSSL numbers them. */
static inline int shim_key_kind(X509 *certificate) {
  EVP_PKEY *key = X509_get0_pubkey(certificate);
  return key ? EVP_PKEY_get_base_id(key) : 0;
}
/* No renegotiation (RFC 9325 §3.5), no compression (§3.3); the server's order of suites counts. */
static inline void shim_ctx_set_options(SSL_CTX *ctx) {
  SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
}
/* RFC 2253, control characters escaped, other bytes as they are. */
static inline unsigned long shim_subject_format(void) { return XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB; }

#endif
