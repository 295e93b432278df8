/*
 * The Sluice plugin ABI, version 0.1.
 *
 * A plugin is a shared library that exports one symbol, `sluice_plugin_entry`. Tables of function pointers pass both
 * ways: the plugin hands out one table for each extension that it offers, the host hands out one for each service.
 * A plugin links to nothing of the host. This file is the specification; it includes nothing but three C headers.
 *
 * Rules that hold for every declaration
 *
 *  - Layouts are final. A struct released under a tag never changes, not even by a field at its end. What is new is a
 *    new struct with a new tag, reached by a new extension or service id ("sluice.balancer/1" -> "sluice.balancer/2").
 *    Do the same for C structs of your own that Swift code in your plugin sees: two builds of a plugin live in one
 *    process during a reload, and Swift keys the metadata of an imported C struct by its tag.
 *  - While the ABI is 0.N a host takes plugins of its own N only.
 *  - Threads. [main]: the host's control thread, never on the way of a request; it may block and allocate.
 *    [worker]: one of the event loops; no two calls into one instance at the same time, though not always on the same
 *    OS thread when the instance is created again. It must not block nor allocate from the system.
 *    [any]: every thread, also the plugin's own.
 *  - A shared instance (SLUICE_INSTANCE_SHARED) is called by all workers at once and does its own synchronisation.
 *  - Ownership. A `sluice_bytes` is a borrowed view: it ends when the call that passed it returns, unless its comment
 *    says until when. What a plugin passes to the host for an exchange (fields, bodies, messages) must live in that
 *    exchange's arena (`sluice_memory.arena_alloc`), in static storage or in the received message.
 *  - Errors. A function returns a `sluice_status`: zero or positive is a verdict, negative an error (the negated
 *    canonical code below). A message goes through `sluice_log.fail`, which the host copies. No exception, Swift error
 *    or trap may cross the border.
 *  - A struct that a function is to fill in (a message to be sent, a response, an answer, metadata) comes zeroed, but
 *    for `sluice_request`, `sluice_route_decision` and `sluice_batch_decision`, whose comments say what stands in them.
 *  - Functions marked "optional" may be NULL. All others must be there.
 *  - Texts are UTF-8 without a NUL at the end.
 */
#ifndef SLUICE_PLUGIN_H
#define SLUICE_PLUGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ABI version as `major << 16 | minor`. */
#define SLUICE_ABI_MAJOR 0
#define SLUICE_ABI_MINOR 1
#define SLUICE_ABI_VERSION 1

/* ------------------------------------------------------------------------------------------------ basic types */

/* A borrowed view of `size` bytes. `data` may be NULL when `size` is 0. */
typedef struct sluice_bytes_1 {
  const uint8_t *data;
  size_t size;
} sluice_bytes;

/* A header field, trailer field or metadata entry. Names compare without regard to ASCII case. */
typedef struct sluice_field_1 {
  sluice_bytes name;
  sluice_bytes value;
} sluice_field;

/* Verdicts (>= 0) and errors (< 0). */
typedef int32_t sluice_status;
#define SLUICE_OK 0        /* done; go on */
#define SLUICE_DECLINE 1   /* not mine: the next one in the chain is asked */
#define SLUICE_NEED_BODY 2 /* call again when the whole body is there */
#define SLUICE_ANSWER 3    /* the response was filled in: send it, ask nobody else */
#define SLUICE_PENDING 4   /* the answer comes later through `sluice_exchange_service.resume` */
#define SLUICE_PASS 5      /* forward the message as it was received */

/* Errors: the negated canonical codes of gRPC (grpc/statuscodes.md), which every adapter maps to its protocol. */
#define SLUICE_CANCELLED (-1)
#define SLUICE_UNKNOWN (-2)
#define SLUICE_INVALID_ARGUMENT (-3)
#define SLUICE_DEADLINE_EXCEEDED (-4)
#define SLUICE_NOT_FOUND (-5)
#define SLUICE_ALREADY_EXISTS (-6)
#define SLUICE_PERMISSION_DENIED (-7)
#define SLUICE_RESOURCE_EXHAUSTED (-8)
#define SLUICE_FAILED_PRECONDITION (-9)
#define SLUICE_ABORTED (-10)
#define SLUICE_OUT_OF_RANGE (-11)
#define SLUICE_UNIMPLEMENTED (-12)
#define SLUICE_INTERNAL (-13)
#define SLUICE_UNAVAILABLE (-14)
#define SLUICE_DATA_LOSS (-15)
#define SLUICE_UNAUTHENTICATED (-16)

/* An exchange: one request and its response. Valid during the call that passes it, with all that the call is given;
 * after one that returned SLUICE_PENDING until `resume`, a filter's `on_cancel` where it has one, or the end of
 * `destroy`, also when the client has left or got an error before. Its memory waits: whoever suspends, resumes. */
typedef struct sluice_exchange sluice_exchange;

/* --------------------------------------------------------------------------------------------------- messages */

/* What carries a message. */
#define SLUICE_TRANSPORT_HTTP 1
#define SLUICE_TRANSPORT_GRPC 2
#define SLUICE_TRANSPORT_TCP 3

/* How much of a message's body is there. */
#define SLUICE_BODY_NONE 0      /* the message has none */
#define SLUICE_BODY_STREAMING 1 /* it has one, which is not gathered; `body` is empty */
/* All of it is in `body`. Of a request that came with gzip or deflate that is what it inflates to, and Content-Encoding
 * is not among the fields; an endpoint that it passes on to gets both as they came. Other codings are not undone. */
#define SLUICE_BODY_WHOLE 2

/*
 * A message of a protocol, as received or to be sent. For HTTP, `method` and `target` belong to requests, `status` to
 * responses. Fields are those between the ends: the host reads and writes the ones of a connection (Connection,
 * Transfer-Encoding, Content-Length, Keep-Alive, Upgrade, TE; Host of a request) itself and ignores them when sent.
 */
typedef struct sluice_message_1 {
  uint32_t transport;         /* SLUICE_TRANSPORT_* */
  uint32_t status;            /* HTTP status of a response; 0 in a request */
  sluice_bytes method;        /* as received, case kept */
  sluice_bytes target;        /* path and query, in origin form */
  sluice_bytes path;          /* `target` without the query; percent-encoding kept */
  sluice_bytes query;         /* without the `?`; empty when there is none */
  sluice_bytes authority;     /* Host field or authority, as received */
  const sluice_field *fields; /* in the order of the message, repeats kept */
  uint32_t field_count;
  uint32_t body_state;      /* SLUICE_BODY_* */
  uint64_t body_size;       /* bytes, as announced or gathered; UINT64_MAX when not known */
  const sluice_bytes *body; /* pieces, in order. Received messages have at most one piece. */
  uint32_t body_count;
  uint32_t reserved; /* 0 */
} sluice_message;

/* ------------------------------------------------------------------------------------ unified request, response */

#define SLUICE_OPERATION_OTHER 0 /* a path of a model that the adapter passes on without knowing it */
#define SLUICE_OPERATION_INFER 1
#define SLUICE_OPERATION_MODEL_METADATA 2
#define SLUICE_OPERATION_MODEL_READY 3
#define SLUICE_OPERATION_SERVER_LIVE 4     /* answered by the host */
#define SLUICE_OPERATION_SERVER_READY 5    /* answered by the host */
#define SLUICE_OPERATION_SERVER_METADATA 6 /* answered by the host */
#define SLUICE_OPERATION_MODEL_LIST 7      /* answered by the host */
#define SLUICE_OPERATION_CHAT 8
#define SLUICE_OPERATION_COMPLETION 9
#define SLUICE_OPERATION_EMBED 10
/* As OTHER, and the adapter lets the client switch its connection to WebSocket, for which the request asks: with
 * SLUICE_PASS toward an endpoint of HTTP/1.1 the host asks for the same, and after a 101 bytes go both ways unread.
 * Filters that asked for chunks see them; where one reads whole answers, the request is refused. Without this operation
 * Upgrade is never passed on. */
#define SLUICE_OPERATION_UPGRADE 11

/* Element types of tensors: those of the Open Inference Protocol v2. */
#define SLUICE_DATATYPE_BOOL 1 /* one byte, 0 or 1 */
#define SLUICE_DATATYPE_UINT8 2
#define SLUICE_DATATYPE_UINT16 3
#define SLUICE_DATATYPE_UINT32 4
#define SLUICE_DATATYPE_UINT64 5
#define SLUICE_DATATYPE_INT8 6
#define SLUICE_DATATYPE_INT16 7
#define SLUICE_DATATYPE_INT32 8
#define SLUICE_DATATYPE_INT64 9
#define SLUICE_DATATYPE_FP16 10 /* IEEE 754 binary16 */
#define SLUICE_DATATYPE_FP32 11
#define SLUICE_DATATYPE_FP64 12
#define SLUICE_DATATYPE_BYTES 13 /* each element: uint32 length, then the bytes */
#define SLUICE_DATATYPE_BF16 14  /* the upper half of a binary32 */

/* A value of a parameter. */
#define SLUICE_PARAMETER_BOOL 1
#define SLUICE_PARAMETER_INT64 2
#define SLUICE_PARAMETER_DOUBLE 3
#define SLUICE_PARAMETER_STRING 4
typedef struct sluice_parameter_1 {
  sluice_bytes name;
  uint32_t kind;      /* SLUICE_PARAMETER_* */
  uint32_t reserved;  /* 0 */
  int64_t integer;    /* BOOL: 0 or 1; INT64 */
  double number;      /* DOUBLE */
  sluice_bytes text;  /* STRING */
} sluice_parameter;

/*
 * A tensor: `data` holds its elements in row-major order, little endian, without padding; its size is the product of
 * `shape` times the element's size, except for BYTES. A shape of rank 0 has one element; a dimension may be 0.
 */
typedef struct sluice_tensor_1 {
  sluice_bytes name;
  uint32_t datatype; /* SLUICE_DATATYPE_* */
  uint32_t rank;     /* 0 to 16 */
  const int64_t *shape;
  sluice_bytes data;
  sluice_bytes region; /* name of a shared-memory region that holds the bytes instead; empty: `data` does */
  uint64_t region_offset;
  uint64_t region_size;
  const sluice_parameter *parameters;
  uint32_t parameter_count;
  uint32_t reserved; /* 0 */
} sluice_tensor;

/* An output that the client asks for by name. */
typedef struct sluice_output_1 {
  sluice_bytes name;
  const sluice_parameter *parameters;
  uint32_t parameter_count;
  uint32_t flags; /* SLUICE_OUTPUT_* */
} sluice_output;
#define SLUICE_OUTPUT_BINARY 1u /* as raw bytes where the protocol has two encodings */

#define SLUICE_PAYLOAD_NONE 0
#define SLUICE_PAYLOAD_STREAM 1  /* the body, unread: it streams through */
#define SLUICE_PAYLOAD_RAW 2     /* bytes with a content type */
#define SLUICE_PAYLOAD_TENSORS 3

typedef struct sluice_payload_1 {
  uint32_t kind; /* SLUICE_PAYLOAD_* */
  uint32_t flags;            /* SLUICE_PAYLOAD_FLAG_* */
  sluice_bytes content_type; /* RAW */
  sluice_bytes raw;          /* RAW */
  const sluice_tensor *tensors;
  uint32_t tensor_count;
  uint32_t output_count; /* requests: 0 asks for all */
  const sluice_output *outputs;
  const sluice_parameter *parameters;
  uint32_t parameter_count;
  uint32_t reserved; /* 0 */
} sluice_payload;
#define SLUICE_PAYLOAD_FLAG_BINARY 1u /* outputs as raw bytes unless an output says otherwise */
#define SLUICE_PAYLOAD_FLAG_COLUMNS 2u /* the client named its inputs (column format); answers may do the same */

/*
 * A request in the gateway's own terms. The host fills in `message` and the defaults; an adapter's `decode` fills in
 * the rest. Filters may change `tenant`, `session`, `priority`, `payload` where it is encoded anew, and `deadline_ns`
 * to an earlier one; `model`, `version` and `model_id` stay what was asked for: another model is for routers to choose.
 * Everything it points to lives until the exchange ends.
 */
typedef struct sluice_request_1 {
  const sluice_message *message; /* as received from the client; never changed; empty for a batch */
  sluice_bytes model;            /* as asked for */
  sluice_bytes version;          /* as asked for: a version or a label; empty when none */
  sluice_bytes id;               /* of the request, echoed by protocols that have one; empty when none */
  sluice_bytes tenant;           /* who asks; a filter that authenticates sets it */
  sluice_bytes session;          /* what sticky decisions hash; empty when none */
  uint32_t operation;            /* SLUICE_OPERATION_* */
  uint32_t model_id;             /* index into the gateway's models, resolved by the host; SLUICE_NONE: unknown */
  uint32_t priority;             /* 0 (highest) to 9; 5 unless said; for routers as those before them decided */
  uint32_t attempt;              /* 1 for the first attempt on an endpoint */
  uint64_t deadline_ns;          /* monotonic clock; UINT64_MAX: none */
  uint64_t received_ns;          /* monotonic clock, when the head was complete */
  sluice_bytes rest;             /* OTHER: what follows the model in the path, with the query, as the route captured */
  void *adapter_data;            /* the decoding adapter's own, in the exchange's arena */
  sluice_payload payload;
} sluice_request;

#define SLUICE_NONE UINT32_MAX

/* A description of a tensor that a model takes or gives; -1 in the shape is any size. */
typedef struct sluice_tensor_spec_1 {
  sluice_bytes name;
  uint32_t datatype;
  uint32_t rank;
  const int64_t *shape;
} sluice_tensor_spec;

typedef struct sluice_metadata_1 {
  sluice_bytes name;            /* of the server or of the model */
  sluice_bytes version;         /* of the server */
  const sluice_bytes *versions; /* of the model; extensions of the server; names of a model list */
  uint32_t version_count;
  uint32_t input_count;
  uint32_t output_count;
  uint32_t reserved;     /* 0 */
  sluice_bytes platform; /* of the model */
  const sluice_tensor_spec *inputs;
  const sluice_tensor_spec *outputs;
} sluice_metadata;

/* A response in the gateway's own terms. */
typedef struct sluice_response_1 {
  const sluice_message *message; /* as received from the endpoint; NULL when it was made in the gateway */
  uint32_t operation;            /* what it answers */
  uint32_t http_status;          /* 200 to 599; 0: as the adapter thinks fit */
  sluice_bytes model;            /* that answered */
  sluice_bytes version;          /* that answered */
  sluice_bytes id;
  const sluice_field *fields; /* extra fields for the client */
  uint32_t field_count;
  uint32_t ready; /* SERVER_LIVE, SERVER_READY, MODEL_READY: 1 yes, 0 no */
  sluice_payload payload;
  const sluice_metadata *metadata; /* SERVER_METADATA, MODEL_METADATA, MODEL_LIST */
} sluice_response;

/* An error on its way to a client; the adapter gives it the shape of its protocol. */
typedef struct sluice_error_1 {
  sluice_status status;  /* < 0 */
  uint32_t http_status;  /* what the host thinks fit: 400 to 599 */
  sluice_bytes message;  /* for the client; holds no secret */
  uint32_t retry_after_s; /* seconds; 0: not said. The host adds the field. */
  uint32_t reserved;     /* 0 */
} sluice_error;

/* --------------------------------------------------------------------------------------------- host services */

/* The host, as one instance sees it. Valid from `create` until `destroy` returns. `service` returns the table of a
 * service, or NULL when this host has none by that id. [any] */
typedef struct sluice_host_1 {
  uint32_t struct_size;
  uint32_t abi_version;
  void *context; /* passed back as the first argument of every service function */
  const void *(*service)(void *context, sluice_bytes id);
} sluice_host;

#define SLUICE_LOG_ERROR 1
#define SLUICE_LOG_WARNING 2
#define SLUICE_LOG_INFO 3
#define SLUICE_LOG_DEBUG 4

/* "sluice.log/1" */
typedef struct sluice_log_1 {
  uint32_t struct_size;
  uint32_t reserved;
  /* Whether a message of `level` would be written: ask before building one. [any] */
  bool (*enabled)(void *context, uint32_t level);
  /* Copies `message`, cut at 8000 bytes or a few more; dropped and counted when the log cannot keep up. [any] */
  void (*write)(void *context, uint32_t level, sluice_bytes message);
  /* The reason of the error that the present call is about to return, for the client or the operator. Copied, cut at
   * 1024 bytes. Legal inside any call of the host into the instance. [main, worker] */
  void (*fail)(void *context, sluice_bytes message);
} sluice_log;
#define SLUICE_LOG "sluice.log/1"

/* "sluice.clock/1" */
typedef struct sluice_clock_1 {
  uint32_t struct_size;
  uint32_t reserved;
  uint64_t (*monotonic_ns)(void *context); /* [any] */
  uint64_t (*wall_ns)(void *context);      /* since 1970-01-01 UTC [any] */
} sluice_clock;
#define SLUICE_CLOCK "sluice.clock/1"

/* A counted buffer of the host's pools. `capacity` bytes at `data`; the first reference is the caller's. */
typedef struct sluice_buffer_1 {
  uint8_t *data;
  size_t capacity;
} sluice_buffer;

/* "sluice.memory/1" */
typedef struct sluice_memory_1 {
  uint32_t struct_size;
  uint32_t reserved;
  /* `size` bytes that live until the exchange ends, 16-byte aligned, not zeroed. NULL only when the exchange's bound
   * on memory is reached. [worker] */
  void *(*arena_alloc)(void *context, sluice_exchange *exchange, size_t size);
  /* A buffer with one reference, or NULL when the pool's bound is reached. [any] */
  sluice_buffer *(*buffer_new)(void *context, size_t capacity);
  void (*buffer_retain)(void *context, sluice_buffer *buffer);  /* [any] */
  void (*buffer_release)(void *context, sluice_buffer *buffer); /* [any] */
  /* Gives one reference to the exchange, which releases it when it ends: bodies may then point into it. It cannot fail.
   * [worker] */
  void (*buffer_adopt)(void *context, sluice_exchange *exchange, sluice_buffer *buffer);
} sluice_memory;
#define SLUICE_MEMORY "sluice.memory/1"

/* A node of a plugin's configuration tree. Valid until `create` returns. */
typedef struct sluice_config_node sluice_config_node;
#define SLUICE_CONFIG_NULL 0
#define SLUICE_CONFIG_SCALAR 1
#define SLUICE_CONFIG_SEQUENCE 2
#define SLUICE_CONFIG_MAPPING 3

/* "sluice.config/1". All functions are legal inside `create` only. [main] */
typedef struct sluice_config_1 {
  uint32_t struct_size;
  uint32_t reserved;
  uint32_t (*kind)(void *context, const sluice_config_node *node); /* SLUICE_CONFIG_*; NULL is NULL */
  size_t (*count)(void *context, const sluice_config_node *node);  /* entries of a sequence or mapping */
  /* Entry `index`; `key` (may be NULL) receives the key of a mapping's entry. NULL when out of range. */
  const sluice_config_node *(*at)(void *context, const sluice_config_node *node, size_t index, sluice_bytes *key);
  /* The value under `key`, or NULL. */
  const sluice_config_node *(*find)(void *context, const sluice_config_node *node, sluice_bytes key);
  /* Typed readers: false, with an error at the node's position, when it is of another type. A number is text, too. */
  bool (*text)(void *context, const sluice_config_node *node, sluice_bytes *out);
  bool (*integer)(void *context, const sluice_config_node *node, int64_t *out);
  bool (*number)(void *context, const sluice_config_node *node, double *out);
  bool (*boolean)(void *context, const sluice_config_node *node, bool *out);
  /* Reports an error at the node's position (NULL: at the plugin's entry). `create` should then fail. */
  void (*error)(void *context, const sluice_config_node *node, sluice_bytes message);
} sluice_config;
#define SLUICE_CONFIG "sluice.config/1"

/* "sluice.metrics/1". Declared in `create`, frozen afterwards; names get the prefix `sluice_plugin_<plugin>_`. */
#define SLUICE_METRIC_COUNTER 1
#define SLUICE_METRIC_GAUGE 2
#define SLUICE_METRIC_HISTOGRAM 3
typedef struct sluice_metrics_1 {
  uint32_t struct_size;
  uint32_t reserved;
  /* A metric's handle, or SLUICE_NONE when the name is not [a-z0-9_]+ or taken by another kind, or an instance has 64;
   * beyond 2048 in all it counts nothing. Counters `a` and `a_total` are the same. `labels` are fixed, up to 16, values
   * of UTF-8 up to 1024 bytes, names not `plugin`, `le` or `__...`. Legal inside `create` only. [main] */
  uint32_t (*declare)(void *context, uint32_t kind, sluice_bytes name, sluice_bytes description,
                      const sluice_field *labels, uint32_t label_count);
  /* Of a shared instance, which all threads count in: [any]. */
  void (*add)(void *context, uint32_t metric, double amount);    /* counter, gauge [worker] */
  void (*record)(void *context, uint32_t metric, double value);  /* gauge: set; histogram: observe [worker] */
} sluice_metrics;
#define SLUICE_METRICS "sluice.metrics/1"

/* "sluice.timer/1". A shared instance's timers fire on the first worker, whichever starts them. */
typedef struct sluice_timer_1 {
  uint32_t struct_size;
  uint32_t reserved;
  /* Calls `fire(user)` on the instance's worker after `delay_ns` (resolution 1 ms; UINT64_MAX: never), once. Returns an
   * id, 0 when the bound of 1024 timers an instance is reached. A timer that is left when the instance is destroyed
   * never fires. Legal in `create`, too. [main in create, worker] */
  uint64_t (*start)(void *context, uint64_t delay_ns, void (*fire)(void *user), void *user);
  /* A timer that has fired is unknown and ignored. A shared instance's may still fire after a call on another worker
   * than the first. Legal in `create` and `destroy`, too. [worker, main in create, destroy] */
  void (*cancel)(void *context, uint64_t timer);
} sluice_timer;
#define SLUICE_TIMER "sluice.timer/1"

/* "sluice.offload/1": a small pool of threads for work that blocks. */
typedef struct sluice_offload_1 {
  uint32_t struct_size;
  uint32_t reserved;
  /* Runs `work(user)` on a pool thread. SLUICE_RESOURCE_EXHAUSTED when the queue is full, which has room for 1024 jobs
   * unless the configuration says otherwise (`gateway.server.offload_queue`): then `work` is never called. `user`
   * belongs to the caller throughout. It may run after `destroy` of the instance that asked, when the services of that
   * instance are gone. [any] */
  sluice_status (*run)(void *context, void (*work)(void *user), void *user);
} sluice_offload;
#define SLUICE_OFFLOAD "sluice.offload/1"

/* "sluice.exchange/1" */
typedef struct sluice_exchange_service_1 {
  uint32_t struct_size;
  uint32_t reserved;
  /* A token of the exchange for `resume`: never zero, of no other exchange under way, and not given to another one
   * before 2^27 more have ended in its place. [worker] */
  uint64_t (*token)(void *context, sluice_exchange *exchange);
  /* Ends the suspension by a call into this instance that returned SLUICE_PENDING: the host makes the same call again,
   * on the exchange's worker, with `resumed` in the exchange set. Once for each: a second one may end this instance's
   * next suspension of the exchange. A token whose exchange is over, or which another instance has suspended meanwhile,
   * of the same plugin or not, is dropped without harm. [any] */
  void (*resume)(void *context, uint64_t token);
  /* True when the present call repeats one that returned SLUICE_PENDING. [worker] */
  bool (*resumed)(void *context, sluice_exchange *exchange);
  /* The peer's address as text ("127.0.0.1:5012", "unix"). Lives until the exchange ends. [worker] */
  sluice_bytes (*peer)(void *context, sluice_exchange *exchange);
  /* Value of the first field of that name in the received request, `found` false when there is none. [worker] */
  sluice_bytes (*header)(void *context, sluice_exchange *exchange, sluice_bytes name, bool *found);
  /* Sets (replacing all of that name) or, with `value.data` NULL, removes a field of the message toward the endpoint
   * (SLUICE_SIDE_REQUEST) or toward the client (SLUICE_SIDE_RESPONSE). Name and value are copied. At most 32 edits an
   * exchange; more is SLUICE_RESOURCE_EXHAUSTED. Fields of the connection are SLUICE_INVALID_ARGUMENT, and so is Host
   * of a request when it is removed or set to what is no `host[:port]`: it has exactly one (RFC 9112 3.2). [worker] */
  sluice_status (*set_field)(void *context, sluice_exchange *exchange, uint32_t side, sluice_bytes name,
                             sluice_bytes value);
} sluice_exchange_service;
#define SLUICE_EXCHANGE "sluice.exchange/1"
#define SLUICE_SIDE_REQUEST 1
#define SLUICE_SIDE_RESPONSE 2

/* "sluice.state/1": what outlives a reload. The host remembers, plugins decide. */
typedef struct sluice_state_1 {
  uint32_t struct_size;
  uint32_t reserved;
  /* The block of `size` bytes (at most 1 MiB) by that name in the plugin's name space, zeroed when it is new, 64-byte
   * aligned. The same pointer for every instance of every generation that asks with the same name and size; it is
   * never freed while the process lives, and concurrent users must use atomics. Another size than before is a new
   * block. NULL when the bound of 256 blocks a plugin is reached. Legal inside `create` only. [main] */
  void *(*block)(void *context, sluice_bytes name, size_t size);
} sluice_state;
#define SLUICE_STATE "sluice.state/1"

/* The gateway's models, for routers and adapters; ids are stable within a generation. */
typedef struct sluice_version_1 {
  sluice_bytes name;   /* the key that clients ask for */
  uint32_t pool;       /* id of the pool of its endpoints */
  uint32_t weight;
  sluice_bytes upstream_model;   /* names toward the backend */
  sluice_bytes upstream_version; /* empty when the backend is asked without one */
} sluice_version;

typedef struct sluice_label_1 {
  sluice_bytes name;
  uint32_t version; /* index into the model's versions */
  uint32_t reserved;
} sluice_label;

typedef struct sluice_model_1 {
  sluice_bytes name;
  const sluice_version *versions; /* in the order of the configuration */
  uint32_t version_count;
  uint32_t label_count;
  const sluice_label *labels;
} sluice_model;

/* "sluice.models/1" */
typedef struct sluice_models_1 {
  uint32_t struct_size;
  uint32_t reserved;
  /* All models of the generation; `count` receives their number. Valid until `destroy`. [main, worker] */
  const sluice_model *(*all)(void *context, uint32_t *count);
  /* A model's id, or SLUICE_NONE. [main, worker] */
  uint32_t (*find)(void *context, sluice_bytes name);
} sluice_models;
#define SLUICE_MODELS "sluice.models/1"

/* "sluice.route/1": for routers. */
typedef struct sluice_route_service_1 {
  uint32_t struct_size;
  uint32_t reserved;
  /* Sets `session` of the request, which later routers and the balancers hash. Copied; empty takes it away.
   * SLUICE_RESOURCE_EXHAUSTED when the exchange's bound on memory is reached. Legal inside `route`. [worker] */
  sluice_status (*set_session)(void *context, sluice_exchange *exchange, sluice_bytes session);
  /* Attempts under way on the endpoints of a pool of the exchange's generation, over all workers; 0 for a pool that
   * does not exist or is served in this process. Reads one cache line an endpoint. Legal inside `route`. [worker] */
  uint32_t (*in_flight)(void *context, sluice_exchange *exchange, uint32_t pool);
} sluice_route_service;
#define SLUICE_ROUTE "sluice.route/1"

/* "sluice.fields/1": fields of which a message may have several, such as Set-Cookie. */
typedef struct sluice_fields_1 {
  uint32_t struct_size;
  uint32_t reserved;
  /* As `sluice_exchange_service.set_field`, but beside the fields of that name which the message has (not Host of a
   * request); a later `set_field` of the name takes its place, too. With `value.data` NULL it takes away those that the
   * message has, and leaves what was set or added. Counts among the same 32 edits. [worker] */
  sluice_status (*add)(void *context, sluice_exchange *exchange, uint32_t side, sluice_bytes name, sluice_bytes value);
} sluice_fields;
#define SLUICE_FIELDS "sluice.fields/1"

/* "sluice.gather/1": for filters that need the payload of some answers and want all others to stream. */
typedef struct sluice_gather_1 {
  uint32_t struct_size;
  uint32_t reserved;
  /* Of an answer that streams, whose head `on_response` was called with: has it gathered and decoded. When that call
   * returns SLUICE_OK, the filters behind this one that asked for chunks see the body as one; then the same function of
   * the same instance is called again, with the payload, and those of the filters before it. Ask for answers whose size
   * is known and small: one beyond the gateway's limits becomes an error. SLUICE_FAILED_PRECONDITION when the answer
   * does not stream or cannot be read whole. Legal inside `on_response`. [worker] */
  sluice_status (*answer)(void *context, sluice_exchange *exchange);
} sluice_gather;
#define SLUICE_GATHER "sluice.gather/1"

/* "sluice.asked/1": for filters that do at a request what they need for its answer. */
typedef struct sluice_asked_1 {
  uint32_t struct_size;
  uint32_t reserved;
  /* Whether the exchange was shown to this instance's `on_request`: not where a filter before it has answered there,
   * whose answer it is shown all the same. Legal inside `on_response`. [worker] */
  bool (*request)(void *context, sluice_exchange *exchange);
} sluice_asked;
#define SLUICE_ASKED "sluice.asked/1"

/* How a request, or the copy of it, ended. */
typedef struct sluice_shadow_end_1 {
  sluice_status status;   /* SLUICE_OK: a whole answer came; SLUICE_CANCELLED: the client left */
  uint32_t http_status;   /* 0: no answer */
  uint64_t first_byte_ns; /* of the last attempt, as in sluice_outcome; 0: no endpoint has answered */
  uint64_t total_ns;      /* from the begin of the last attempt, or of a request that had none */
  uint64_t body_size;     /* bytes, of the body that `body_hash` is of */
  uint64_t body_hash;     /* of the body as the endpoint sent it; 0: not known. No two hosts need hash alike. */
} sluice_shadow_end;

typedef struct sluice_shadow_outcome_1 {
  sluice_shadow_end original;
  sluice_shadow_end copy;
} sluice_shadow_outcome;

#define SLUICE_SHADOW_COMPARE_BODIES 1u /* `body_hash` of both is wanted */
#define SLUICE_SHADOW_TELL_COPY 2u      /* `done` is called for the end of the copy, too */

typedef struct sluice_shadow_copy_1 {
  uint32_t pool;              /* id of the pool that gets it */
  uint32_t flags;             /* SLUICE_SHADOW_* */
  uint64_t timeout_ns;        /* from now until its answer is whole; above 0, an hour at most */
  const sluice_field *fields; /* set in the copy, in place of fields of the same names; copied */
  uint32_t field_count;
  uint32_t reserved;          /* 0 */
  /* Called once for each copy that was sent, when both the copy and its original have ended; with TELL_COPY also before
   * that, when the copy has, with SLUICE_PENDING as its original's status, whether that has ended or not. On the worker
   * that sent it; never inside a call to the plugin. `outcome` lives until it returns. NULL: nobody is told. The
   * instance is not destroyed before. [worker] */
  void (*done)(void *user, const sluice_shadow_outcome *outcome);
  void *user;
} sluice_shadow_copy;

/* "sluice.shadow/1": for routers. */
typedef struct sluice_shadow_service_1 {
  uint32_t struct_size;
  uint32_t reserved;
  /* Sends a copy of the request, as it came and with what filters and routers have set in it so far, to a pool of the
   * exchange's generation. Whatever becomes of it, the original does not notice: the copy waits in no queue, is tried
   * once, has its own deadline, no filter or observer sees it (breakers and outlier detection of its pool do), and its
   * answer is thrown away. Where a reload or a stop waits for nothing but copies, they are SLUICE_CANCELLED.
   *   SLUICE_FAILED_PRECONDITION: it cannot be copied, since its body is not at hand whole (a router may answer
   *     SLUICE_NEED_BODY first), it is a message of raw TCP, or the gateway stops;
   *   SLUICE_RESOURCE_EXHAUSTED: as many copies are under way on the worker as `limits.shadows` allows, or no memory;
   *   SLUICE_ALREADY_EXISTS: it has a copy; SLUICE_INVALID_ARGUMENT: no such pool, no time, or a field not to be set.
   * Legal inside `route`. [worker] */
  sluice_status (*send)(void *context, sluice_exchange *exchange, const sluice_shadow_copy *copy);
} sluice_shadow_service;
#define SLUICE_SHADOW "sluice.shadow/1"

/* A rule of the gateway's rule language (Docs/rules.md), compiled. Valid until `destroy` returns. */
typedef struct sluice_rule sluice_rule;

#define SLUICE_RULE_NEEDS_BODY 1u /* `evaluate` may answer SLUICE_NEED_BODY */
#define SLUICE_RULE_CALLS 2u      /* it calls native functions that the operator declared */

/* "sluice.rules/1" */
typedef struct sluice_rules_1 {
  uint32_t struct_size;
  uint32_t reserved;
  /* Compiles `text`, or, where `text.data` is NULL, the text of `node`. SLUICE_OK with `*rule` and, unless it is NULL,
   * `*needs` (SLUICE_RULE_*) set. SLUICE_INVALID_ARGUMENT when it is no rule: the error, with its column in the rule,
   * is reported at the node's position (NULL: at the plugin's entry), and `create` should fail.
   * SLUICE_RESOURCE_EXHAUSTED beyond 1024 rules an instance. Legal inside `create` only. [main] */
  sluice_status (*compile)(void *context, const sluice_config_node *node, sluice_bytes text, const sluice_rule **rule,
                           uint32_t *needs);
  /* SLUICE_OK with `*holds` set; SLUICE_NEED_BODY when what the rule reads of the body decides and the body is not
   * decoded yet; an error when the exchange's bound on memory is reached. A rule holds no state: every worker may
   * evaluate it at once. [worker] */
  sluice_status (*evaluate)(void *context, const sluice_rule *rule, sluice_exchange *exchange,
                            const sluice_request *request, bool *holds);
} sluice_rules;
#define SLUICE_RULES "sluice.rules/1"

/* ------------------------------------------------------------------------------------------------ extensions */

#define SLUICE_INSTANCE_PER_WORKER 0 /* one a worker and chain or pool that names it, called by that worker alone */
#define SLUICE_INSTANCE_SHARED 1     /* one instance for all workers and chains, called by all workers at once */

/* What `create` is told. Valid until it returns. */
typedef struct sluice_create_1 {
  uint32_t struct_size;
  uint32_t worker;       /* index of the worker; SLUICE_NONE for a shared instance */
  uint32_t worker_count;
  uint32_t reserved;
  sluice_bytes name;                /* of the plugin in the configuration */
  sluice_bytes model;               /* balancer, batcher, backend, discovery: whose pool this is for; empty else */
  sluice_bytes version;             /* likewise */
  const sluice_config_node *config; /* `config:` of the plugin; NULL when absent */
  const sluice_config_node *model_config; /* backend: `config:` of the version; batcher: `batching:` in force;
                                           * discovery: `config:` of the version's `discovery:` */
} sluice_create;

/* The head that every extension table begins with. `create` makes an instance: SLUICE_OK with `*instance` set, or an
 * error, its reason told by `sluice_config.error` or `sluice_log.fail`; then nothing of it remains. `destroy` is
 * called once for each instance that was made, when no call into it is under way and none will come. [main] */
typedef struct sluice_instance_1 {
  uint32_t struct_size; /* of the whole extension table */
  uint32_t instancing;  /* SLUICE_INSTANCE_* */
  sluice_status (*create)(const sluice_host *host, const sluice_create *arguments, void **instance);
  void (*destroy)(void *instance);
} sluice_instance;

/* ---- adapter ---- */

/* A route: requests whose method and path match go to the adapter's `decode` with the route's index. `method` empty
 * matches all; HEAD that no route names goes where GET goes. The path template is literal but for `{name}`, one
 * non-empty segment or the part of one up to the literal that follows (`{model}:predict`), and `{rest...}` at its end,
 * everything left with the query. Captured values keep their percent-encoding. A template "*" matches all paths.
 * Bounds: 256 routes, 8 captures.
 * SLUICE_TRANSPORT_TCP: the adapter frames messages over raw TCP, by `frame`; method and path are empty, one such route
 * is enough. */
typedef struct sluice_route_1 {
  uint32_t transport; /* SLUICE_TRANSPORT_* */
  uint32_t reserved;
  sluice_bytes method;
  sluice_bytes path;
} sluice_route;

typedef struct sluice_match_1 {
  uint32_t route; /* index into the adapter's routes */
  uint32_t capture_count;
  const sluice_bytes *captures; /* in the order of the template; they live until the exchange ends */
} sluice_match;

/* decode is asked for as little as will do. */
#define SLUICE_STAGE_HEAD 1 /* enough to route: the body may be left unread */
#define SLUICE_STAGE_BODY 2 /* the payload, whole: tensors (or raw bytes, where the protocol has none) */

/* Where a request goes, for `encode_request`. */
typedef struct sluice_target_1 {
  sluice_bytes model;   /* name toward the backend */
  sluice_bytes version; /* likewise, no label; empty: the client named none */
  sluice_bytes authority; /* of the pool's first endpoint; the Host of a message made here is of the one picked */
  uint32_t same_protocol; /* 1: the client's message is of this adapter too, and may be passed on as it is */
  uint32_t renamed;       /* 1: model or version differ from those that the client asked for */
} sluice_target;

/* "sluice.adapter/1" */
typedef struct sluice_adapter_1 {
  sluice_instance base;
  /* The routes; the array lives until `destroy`. [main] */
  sluice_status (*routes)(void *instance, const sluice_route **routes, uint32_t *count);
  /*
   * Client to gateway. Stage HEAD: fill in model, version, operation and what else the head tells; SLUICE_OK when the
   * head is enough (leave the payload STREAM when there is a body), SLUICE_NEED_BODY when not, SLUICE_DECLINE when
   * the message is not of this protocol. Stage BODY: the body is whole in `request->message`; fill in the payload.
   * It is called after HEAD whenever somebody needs the payload. A message of raw TCP has no head of its own: it is
   * whole at both stages, and nobody else is asked when its adapter declines. [worker]
   */
  sluice_status (*decode)(void *instance, sluice_exchange *exchange, uint32_t stage, const sluice_match *match,
                          sluice_request *request);
  /* Gateway to client: `out` is the message of this protocol that says `response`. [worker] */
  sluice_status (*encode)(void *instance, sluice_exchange *exchange, const sluice_request *request,
                          const sluice_response *response, sluice_message *out);
  /* Gateway to client: an error in the shape of this protocol. Of a message over raw TCP that is too large to be read
   * the body has what had come of it, cut anywhere. [worker] */
  sluice_status (*encode_error)(void *instance, sluice_exchange *exchange, const sluice_request *request,
                                const sluice_error *error, sluice_message *out);
  /*
   * Gateway to endpoint. SLUICE_PASS, only when `target->same_protocol`: the client's message goes on, with `method`
   * and `target` of `out` in place of its own where they are not empty, and with the body of `out` where that is
   * SLUICE_BODY_WHOLE and the client's is, too (of gRPC one message without its prefix); the answer then streams back
   * as it does for every message passed on, except over raw TCP: see `decode_response`. A `method` that makes HEAD of
   * another one, or the other way round, would change the answer's framing (RFC 9112 6.3): it is answered with 500.
   * SLUICE_OK: `out` is the whole message. When the body has to be made or changed but is not there:
   * SLUICE_NEED_BODY, and the host decodes it and calls again. [worker]
   */
  sluice_status (*encode_request)(void *instance, sluice_exchange *exchange, const sluice_request *request,
                                  const sluice_target *target, sluice_message *out);
  /*
   * Endpoint to gateway: `in` is whole. Fill in `response`; an answer that is an error of the backend is returned as a
   * negative status with its message through `sluice_log.fail`, and `response->http_status` set. Not called when both
   * ends speak this protocol and nobody reads the answer; over raw TCP it always is, as only the adapter can tell to
   * which request an answer belongs. There an error with `http_status` 0 or 502 says that this is no answer to
   * `request`: the connection that it came on is closed. [worker]
   */
  sluice_status (*decode_response)(void *instance, sluice_exchange *exchange, const sluice_request *request,
                                   const sluice_message *in, sluice_response *response);
  /*
   * Optional; raw TCP. The size of the first message in `bytes`, above 0: SLUICE_OK with `*size` set,
   * SLUICE_NEED_BODY when more bytes are needed to tell (not more than `limits.header_bytes`), an error when it is no
   * message. Bytes of clients and of endpoints alike. A message that is sent is written as the pieces of its body.
   * [worker]
   */
  sluice_status (*frame)(void *instance, sluice_bytes bytes, size_t *size);
} sluice_adapter;
#define SLUICE_ADAPTER "sluice.adapter/1"

/* ---- router ---- */

/* What a router decides. The host fills in what stands so far, earlier routers of the chain included. */
typedef struct sluice_route_decision_1 {
  uint32_t model;       /* id; SLUICE_NONE: unknown */
  uint32_t version;     /* index into the model's versions; SLUICE_NONE: not decided */
  uint32_t pool;        /* id; SLUICE_NONE: the version's own */
  uint32_t priority;    /* 0 (highest) to 9 */
  uint64_t deadline_ns; /* monotonic clock */
} sluice_route_decision;

/* "sluice.router/1" */
typedef struct sluice_router_1 {
  sluice_instance base;
  /* SLUICE_OK, or SLUICE_DECLINE to leave the decision as it stands, or SLUICE_NEED_BODY to be asked again when the
   * payload is decoded, or PENDING, or an error (SLUICE_NOT_FOUND: no such version). [worker] */
  sluice_status (*route)(void *instance, sluice_exchange *exchange, const sluice_request *request,
                         sluice_route_decision *decision);
} sluice_router;
#define SLUICE_ROUTER "sluice.router/1"

/* ---- balancer ---- */

/* The load of an endpoint over all workers, one cache line that the host keeps: read with `sluice_load_*`. */
typedef struct sluice_load_1 {
  uint32_t in_flight;   /* attempts under way */
  uint32_t healthy;     /* 1 or 0 */
  uint64_t ewma_ns;     /* of the time to the first byte of a response; 0: none seen */
  uint64_t requests;    /* attempts begun */
  uint64_t failures;    /* attempts that failed */
  uint64_t last_failure_ns;
  uint64_t reserved[3];
} sluice_load;

static inline uint32_t sluice_load_u32(const uint32_t *value) { return *(const volatile uint32_t *)value; }
static inline uint64_t sluice_load_u64(const uint64_t *value) { return *(const volatile uint64_t *)value; }

typedef struct sluice_endpoint_1 {
  uint64_t id;           /* of its address, until nothing has named that for a minute; no two ever have the same */
  sluice_bytes address;  /* as configured */
  uint32_t weight;
  uint32_t reserved;
  const sluice_load *load;
} sluice_endpoint;

/* What `pick` is asked. */
typedef struct sluice_pick_1 {
  const sluice_endpoint *endpoints;
  uint32_t count;          /* 1 to 4096 */
  uint32_t attempt;        /* 1: the request's first; from 2 on a retry, hedge or fallback: best in turns of its own */
  const uint64_t *eligible; /* bit i: endpoint i is healthy, its breaker lets it, and it was not just tried */
  uint32_t eligible_count; /* bits that are set, at least 1 */
  uint32_t now_ms;         /* the low 32 bits of the monotonic time in milliseconds, as of this turn of the worker's
                            * loop; 0: not said. Cheaper than the clock. */
} sluice_pick;

static inline bool sluice_pick_eligible(const sluice_pick *pick, uint32_t index) {
  return ((pick->eligible[index >> 6] >> (index & 63)) & 1u) != 0;
}

/* How an attempt ended. */
typedef struct sluice_outcome_1 {
  uint32_t endpoint;    /* index into the endpoints that were told last; one that has left since is not told of */
  sluice_status status; /* SLUICE_OK or why it failed */
  uint32_t http_status; /* 0: no answer */
  uint32_t attempt;
  uint64_t first_byte_ns; /* from the attempt's begin or, if later, the request's last byte; 0: none came */
  uint64_t total_ns;
  uint64_t ended_ns; /* when, by the monotonic clock, as of this turn of the worker's loop */
} sluice_outcome;

/* "sluice.balancer/1": one instance for each pool (and each worker, unless shared). */
typedef struct sluice_balancer_1 {
  sluice_instance base;
  /* An index below `pick->count` that is eligible; any other one is counted, and the first eligible taken. [worker] */
  uint32_t (*pick)(void *instance, sluice_exchange *exchange, const sluice_request *request, const sluice_pick *pick);
  /* Optional. [worker] */
  void (*on_result)(void *instance, const sluice_outcome *outcome);
  /* Optional: the pool's endpoints, before the first pick and at each change. They live until the next call. [main
   * before the first pick, worker] */
  void (*on_endpoints)(void *instance, const sluice_endpoint *endpoints, uint32_t count);
} sluice_balancer;
#define SLUICE_BALANCER "sluice.balancer/1"

/* The head of an endpoint's final answer, as received. Valid during the call that passes it. */
typedef struct sluice_answer_head_1 {
  uint32_t endpoint; /* index into the endpoints that were told last; one that has left since is not told of */
  uint32_t http_status;
  uint32_t attempt;
  uint32_t field_count;
  const sluice_field *fields; /* in the order of the message, repeats kept; of gRPC, the headers before the messages */
  uint64_t first_byte_ns;     /* as in sluice_outcome */
} sluice_answer_head;

/* "sluice.balancer/2": begins with the functions of "sluice.balancer/1", which mean the same. Of a plugin that offers
 * both the host takes this one. */
typedef struct sluice_balancer_2 {
  sluice_instance base;
  uint32_t (*pick)(void *instance, sluice_exchange *exchange, const sluice_request *request, const sluice_pick *pick);
  void (*on_result)(void *instance, const sluice_outcome *outcome);
  void (*on_endpoints)(void *instance, const sluice_endpoint *endpoints, uint32_t count);
  /* Optional: the head of an answer has come, of HTTP/1.1, HTTP/2 or gRPC, before anybody else sees it; at most once an
   * attempt, before its `on_result`. Not of interim answers, nor of raw TCP, which has no heads. [worker] */
  void (*on_head)(void *instance, const sluice_answer_head *head);
} sluice_balancer_2;
#define SLUICE_BALANCER_2 "sluice.balancer/2"

/* ---- batcher ---- */

/* The queue of requests that may stand in one batch. */
typedef struct sluice_batch_1 {
  uint32_t count;       /* requests that wait */
  uint32_t rows;        /* the sum of their first dimensions */
  uint64_t bytes;       /* of their tensors */
  uint64_t oldest_ns;   /* when the first one came */
  uint64_t now_ns;
  uint64_t earliest_deadline_ns;
  uint32_t max_rows;    /* `max_batch_size` in force */
  uint32_t in_flight;   /* batches of this pool under way */
  uint64_t max_delay_ns; /* `max_delay_ms` in force */
} sluice_batch;

typedef struct sluice_batch_decision_1 {
  uint32_t flush;    /* requests to send now as one batch, from the oldest; 0: none. The host cuts it before the one
                      * that would make more than `max_rows` rows, but not below one. */
  uint32_t reserved; /* 0 */
  uint64_t timer_ns; /* monotonic time to be asked again when nothing happens before; UINT64_MAX, as it comes: not */
} sluice_batch_decision;

/* "sluice.batcher/1": one instance for each pool, called on the pool's home worker. */
typedef struct sluice_batcher_1 {
  sluice_instance base;
  /* Optional: requests with different keys never share a batch, beyond what the host keeps apart (pool, names, types
   * and shapes but the first dimension, requested outputs, parameters). The request may have come on another worker: of
   * its message there is the head alone, and `adapter_data` is NULL. [worker] */
  uint64_t (*group_key)(void *instance, const sluice_request *request);
  /* After a request was added, and again as long as it flushes something. [worker] */
  void (*enqueue)(void *instance, const sluice_batch *batch, sluice_batch_decision *decision);
  /* When the timer came. [worker] */
  void (*on_timer)(void *instance, const sluice_batch *batch, sluice_batch_decision *decision);
  /* Optional. `endpoint` of the outcome is SLUICE_NONE when it has left, or none was asked. [worker] */
  void (*on_batch_done)(void *instance, uint32_t count, uint32_t rows, const sluice_outcome *outcome);
} sluice_batcher;
#define SLUICE_BATCHER "sluice.batcher/1"

/* ---- filter ---- */

#define SLUICE_FILTER_REQUEST_BODY 1u  /* on_request wants the decoded payload (gRPC: not of OTHER) */
#define SLUICE_FILTER_RESPONSE_BODY 2u /* on_response wants the decoded payload (likewise) */
#define SLUICE_FILTER_CHUNKS 4u        /* on_chunk is called for bodies that stream */

/* "sluice.filter/1" */
typedef struct sluice_filter_1 {
  sluice_instance base;
  /* SLUICE_FILTER_*: what this instance needs, fixed for its life. [main] */
  uint32_t (*needs)(void *instance);
  /* SLUICE_OK: pass, changed or not. SLUICE_ANSWER: `answer` goes to the client. PENDING. An error. [worker] */
  sluice_status (*on_request)(void *instance, sluice_exchange *exchange, sluice_request *request,
                              sluice_response *answer);
  /* Optional; in reverse order of the chain, before a byte of the answer has gone to the client; also of requests that
   * it has not seen. `response->payload` is there where it was asked for. SLUICE_OK, changed or not, but `http_status`
   * of gRPC and of a switch of protocols stays. PENDING. An error takes the answer's place. [worker] */
  sluice_status (*on_response)(void *instance, sluice_exchange *exchange, const sluice_request *request,
                               sluice_response *response);
  /* Optional: pieces of a streamed body, `side` SLUICE_SIDE_*. An error is answered or cuts a begun answer. [worker] */
  sluice_status (*on_chunk)(void *instance, sluice_exchange *exchange, uint32_t side, sluice_bytes chunk);
  /* Optional, at most once an exchange: it ended before its response was complete, or an error is answered in place of
   * a call that had suspended it; `resume` has no effect then. Also of requests that it has not seen. [worker] */
  void (*on_cancel)(void *instance, sluice_exchange *exchange);
} sluice_filter;
#define SLUICE_FILTER "sluice.filter/1"

/* "sluice.filter/2": begins with the functions of "sluice.filter/1", which mean the same. Of a plugin that offers both
 * the host takes this one. */
typedef struct sluice_filter_2 {
  sluice_instance base;
  uint32_t (*needs)(void *instance);
  sluice_status (*on_request)(void *instance, sluice_exchange *exchange, sluice_request *request,
                              sluice_response *answer);
  sluice_status (*on_response)(void *instance, sluice_exchange *exchange, const sluice_request *request,
                               sluice_response *response);
  sluice_status (*on_chunk)(void *instance, sluice_exchange *exchange, uint32_t side, sluice_bytes chunk);
  void (*on_cancel)(void *instance, sluice_exchange *exchange);
  /* Optional, where the model's `fallback` has the step `cached`: the request, which this filter let pass, is about to
   * be answered with the error `failure`, and nothing of an answer has gone to the client. SLUICE_ANSWER: `answer`,
   * which comes as in `on_request`, goes in its place, through `on_response` like every answer. SLUICE_OK: there is
   * none, the next filter is asked. `answer` names model and version that the request was for, whoever else was tried.
   * [worker] */
  sluice_status (*on_failure)(void *instance, sluice_exchange *exchange, const sluice_request *request,
                              sluice_status failure, sluice_response *answer);
  /* Optional: the request is answered with the error `error`, of the gateway or of any plugin, this filter too; no
   * `on_response` follows. Also to filters that have not seen the request. [worker] */
  void (*on_error)(void *instance, sluice_exchange *exchange, sluice_status error);
} sluice_filter_2;
#define SLUICE_FILTER_2 "sluice.filter/2"

/* ---- backend ---- */

/* "sluice.backend/1": serves one version of a model in this process. */
typedef struct sluice_backend_1 {
  sluice_instance base;
  /* `request->payload` holds tensors or raw bytes. SLUICE_OK with `response` filled in, PENDING, an error. [worker] */
  sluice_status (*infer)(void *instance, sluice_exchange *exchange, const sluice_request *request,
                         sluice_response *response);
  /* What the model takes and gives; lives until `destroy`. [main, worker] */
  sluice_status (*describe)(void *instance, sluice_metadata *metadata);
} sluice_backend;
#define SLUICE_BACKEND "sluice.backend/1"

/* ---- observer ---- */

typedef struct sluice_summary_1 {
  sluice_bytes model;
  sluice_bytes version;
  sluice_bytes tenant;
  sluice_bytes adapter; /* name in the configuration */
  sluice_bytes method;
  sluice_bytes path;
  sluice_bytes peer;
  sluice_bytes endpoint; /* of the last attempt; empty: none */
  uint32_t operation;
  sluice_status status;
  uint32_t http_status; /* sent to the client; 0: none */
  uint32_t attempts;
  uint32_t batch_rows; /* of the batch it stood in; 0: none */
  uint32_t reserved;
  uint64_t request_bytes;  /* of the body */
  uint64_t response_bytes; /* likewise */
  uint64_t started_wall_ns;
  uint64_t duration_ns;   /* from the complete head of the request to the last byte of the response */
  uint64_t queued_ns;     /* in scheduler and batcher */
  uint64_t first_byte_ns; /* of the last attempt, as in sluice_outcome; 0: none */
} sluice_summary;

/* "sluice.observer/1" */
typedef struct sluice_observer_1 {
  sluice_instance base;
  /* Every exchange that ended, also those that failed. [worker] */
  void (*on_finish)(void *instance, const sluice_summary *summary);
} sluice_observer;
#define SLUICE_OBSERVER "sluice.observer/1"

/* ---- discovery ---- */

/* Hands the whole set of a pool's endpoints to the host; the addresses are copied. [any] */
typedef struct sluice_endpoint_sink_1 {
  uint32_t struct_size;
  uint32_t reserved;
  void *context;
  void (*set)(void *context, const sluice_bytes *addresses, const uint32_t *weights, uint32_t count);
} sluice_endpoint_sink;

/*
 * "sluice.discovery/1": one instance, which must be shared, for each pool that names the plugin under `discovery:`.
 * `start` comes when the configuration is about to be in force, never during a check, and must not wait for the source:
 * work that waits belongs to a thread of the plugin's own. `set` is called whenever the set may have changed, and with
 * the same set to say that it still holds. Of endpoints that leave, the attempts under way end in their own time.
 */
typedef struct sluice_discovery_1 {
  sluice_instance base;
  /* The sink is valid until `stop` returns. Legal inside: `set`. [main] */
  sluice_status (*start)(void *instance, const sluice_endpoint_sink *sink);
  void (*stop)(void *instance); /* no call of the sink after it returned; once for each `start` [main] */
} sluice_discovery;
#define SLUICE_DISCOVERY "sluice.discovery/1"

/* An endpoint as a source names it: `http://host:port` as in the configuration, or `host:port` of the pool's scheme. */
typedef struct sluice_discovered_1 {
  sluice_bytes address;
  sluice_bytes zone; /* where it stands; empty: not known */
  uint32_t weight;   /* 0: no new request goes to it */
  uint32_t reserved; /* 0 */
} sluice_discovered;

/* The same with more to say. All that is passed is copied. */
typedef struct sluice_endpoint_sink_2 {
  uint32_t struct_size;
  uint32_t reserved;
  void *context;
  /* The whole set. What is no address is refused, counted and logged; the rest is taken. [any] */
  void (*set)(void *context, const sluice_discovered *endpoints, uint32_t count);
  /* The source could not be asked, or made no sense; the last set holds. A failure within a second of a `set` is about
   * that set: who is away fails again. `message` is for the operator and holds no secret. [any] */
  void (*failed)(void *context, sluice_bytes message);
} sluice_endpoint_sink_2;

/* "sluice.discovery/2": as the first, with the other sink. Of a plugin that offers both the host uses this one. */
typedef struct sluice_discovery_2 {
  sluice_instance base;
  sluice_status (*start)(void *instance, const sluice_endpoint_sink_2 *sink);
  void (*stop)(void *instance);
} sluice_discovery_2;
#define SLUICE_DISCOVERY_2 "sluice.discovery/2"

/* ---------------------------------------------------------------------------------------------------- entry */

/* One extension that the plugin offers: `table` points to the struct that the id names. */
typedef struct sluice_extension_1 {
  sluice_bytes id;
  const void *table;
} sluice_extension;

/* What a plugin is. Static for the life of the process: images are never unmapped. */
typedef struct sluice_plugin_1 {
  uint32_t struct_size;
  uint32_t abi_version; /* SLUICE_ABI_VERSION of the header it was built with */
  sluice_bytes name;
  sluice_bytes version;
  sluice_bytes vendor;
  sluice_bytes licence;
  sluice_bytes build_id; /* free text that tells one build from the next; may be empty */
  const sluice_extension *extensions;
  uint32_t extension_count; /* 1 to 16 */
  uint32_t reserved;
  /* Optional; before the first instance and after the last. Each may be called more than once. [main] */
  sluice_status (*start)(void);
  void (*stop)(void);
} sluice_plugin;

/*
 * The one exported symbol. The first two fields of what it returns never change their meaning in any version. NULL
 * when the plugin refuses this host. It runs before `start`, in a probe process first; it must do nothing but return.
 */
#if defined(_WIN32)
#define SLUICE_EXPORT __declspec(dllexport)
#else
#define SLUICE_EXPORT __attribute__((visibility("default")))
#endif
#ifndef SLUICE_NO_ENTRY_PROTOTYPE
SLUICE_EXPORT const sluice_plugin *sluice_plugin_entry(uint32_t host_abi_version);
#endif

/* A view of a string literal. */
#define SLUICE_TEXT(literal) {(const uint8_t *)("" literal), sizeof(literal) - 1}

#ifdef __cplusplus
}
#endif

#endif
