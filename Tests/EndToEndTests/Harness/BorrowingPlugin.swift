/// A plugin whose filter, router and backend suspend the requests that ask for it and go on reading what they were
/// given, in a thread of their own, as one does that computes or asks somebody else.
enum BorrowingPlugin {
    /// Suspends a request in the calls that its field `Suspended-In` names; a batch, without fields, in the backend,
    /// when its first number is 1. The thread resumes them once the file `go` is there, those of an "eager-" call in
    /// each of its rounds from the first on. It counts its rounds, and what has changed since the call.
    static func source(go: String) -> String {
        CompiledPlugin.source(
            "borrowing",
            tables: ["SLUICE_FILTER": "filter", "SLUICE_ROUTER": "router", "SLUICE_BACKEND": "backend"],
            """
            #include <pthread.h>
            #include <stdatomic.h>

            enum { jobs_at_most = 64 };
            struct job {
              const sluice_request *request;
              uint64_t token, sum;
              int is_eager;
            };
            struct borrowing {
              void *context;
              const sluice_exchange_service *exchange;
              const sluice_metrics *metrics;
              uint32_t rounds, changed, waiting, repeated, destroyed;
              pthread_t thread;
              pthread_mutex_t lock;
              atomic_int ends;
              int count;
              struct job jobs[jobs_at_most];
            };

            static uint64_t add(uint64_t sum, const void *data, size_t size) {
              const uint8_t *bytes = data;
              for (size_t i = 0; i < size; i++) sum = (sum ^ bytes[i]) * 1099511628211u;
              return sum;
            }
            /* Of all that a call may read of a request. */
            static uint64_t sum(const sluice_request *request) {
              const sluice_message *message = request->message;
              uint64_t sum = add(14695981039346656037u, request->model.data, request->model.size);
              sum = add(sum, message->path.data, message->path.size);
              for (uint32_t i = 0; i < message->field_count; i++) {
                sum = add(sum, message->fields[i].name.data, message->fields[i].name.size);
                sum = add(sum, message->fields[i].value.data, message->fields[i].value.size);
              }
              for (uint32_t i = 0; i < message->body_count; i++)
                sum = add(sum, message->body[i].data, message->body[i].size);
              for (uint32_t i = 0; i < request->payload.tensor_count; i++) {
                const sluice_tensor *tensor = &request->payload.tensors[i];
                sum = add(sum, tensor->name.data, tensor->name.size);
                sum = add(sum, tensor->shape, tensor->rank * sizeof *tensor->shape);
                sum = add(sum, tensor->data.data, tensor->data.size);
              }
              return sum;
            }

            static void look(struct borrowing *borrowing) {
              int goes = access("\(go)", F_OK) == 0, kept = 0;
              pthread_mutex_lock(&borrowing->lock);
              for (int i = 0; i < borrowing->count; i++) {
                struct job job = borrowing->jobs[i];
                if (!job.is_eager && sum(job.request) != job.sum) {
                  fprintf(stderr, "a request has changed\\n");
                  borrowing->metrics->add(borrowing->context, borrowing->changed, 1);
                }
                if (goes || job.is_eager) borrowing->exchange->resume(borrowing->context, job.token);
                if (!goes || job.is_eager) borrowing->jobs[kept++] = job;
              }
              borrowing->count = kept;
              pthread_mutex_unlock(&borrowing->lock);
              borrowing->metrics->add(borrowing->context, borrowing->rounds, 1);
            }
            static void *run(void *user) {
              struct borrowing *borrowing = user;
              while (!atomic_load(&borrowing->ends)) {
                look(borrowing);
                poll(NULL, 0, 2);
              }
              look(borrowing);
              return NULL;
            }

            static uint32_t metric(struct borrowing *borrowing, const char *name) {
              return borrowing->metrics->declare(
                  borrowing->context, SLUICE_METRIC_COUNTER, text(name), text("Of the test."), NULL, 0);
            }
            static sluice_status create(const sluice_host *host, const sluice_create *arguments, void **instance) {
              (void)arguments;
              struct borrowing *borrowing = calloc(1, sizeof *borrowing);
              borrowing->context = host->context;
              borrowing->exchange = host->service(host->context, text(SLUICE_EXCHANGE));
              borrowing->metrics = host->service(host->context, text(SLUICE_METRICS));
              borrowing->rounds = metric(borrowing, "rounds");
              borrowing->changed = metric(borrowing, "changed");
              borrowing->waiting = metric(borrowing, "waiting");
              borrowing->repeated = metric(borrowing, "repeated");
              borrowing->destroyed = metric(borrowing, "destroyed");
              pthread_mutex_init(&borrowing->lock, NULL);
              if (pthread_create(&borrowing->thread, NULL, run, borrowing) != 0) return SLUICE_INTERNAL;
              *instance = borrowing;
              return SLUICE_OK;
            }
            static void destroy(void *instance) {
              struct borrowing *borrowing = instance;
              atomic_store(&borrowing->ends, 1);
              pthread_join(borrowing->thread, NULL);
              borrowing->metrics->add(borrowing->context, borrowing->destroyed, 1);
              free(borrowing);
            }

            static int has(sluice_bytes bytes, const char *part) {
              return bytes.data && memmem(bytes.data, bytes.size, part, strlen(part)) != NULL;
            }
            static int is_batch_of_ones(const sluice_request *request) {
              int64_t first = 0;
              if (request->message->field_count || request->payload.tensor_count != 1) return 0;
              memcpy(&first, request->payload.tensors[0].data.data, sizeof first);
              return first == 1;
            }
            static int suspends(struct borrowing *borrowing, sluice_exchange *exchange, const sluice_request *request,
                                const char *call) {
              bool found;
              sluice_bytes calls =
                  borrowing->exchange->header(borrowing->context, exchange, text("suspended-in"), &found);
              int is_batch = strcmp(call, "backend") == 0 && is_batch_of_ones(request);
              if (!has(calls, call) && !is_batch) return 0;
              if (borrowing->exchange->resumed(borrowing->context, exchange)) {
                borrowing->metrics->add(borrowing->context, borrowing->repeated, 1);
                return 0;
              }
              char eager[32];
              snprintf(eager, sizeof eager, "eager-%s", call);
              pthread_mutex_lock(&borrowing->lock);
              int has_room = borrowing->count < jobs_at_most;
              if (has_room) {
                struct job *job = &borrowing->jobs[borrowing->count++];
                job->request = request;
                job->token = borrowing->exchange->token(borrowing->context, exchange);
                job->sum = sum(request);
                job->is_eager = has(calls, eager);
              }
              pthread_mutex_unlock(&borrowing->lock);
              borrowing->metrics->add(borrowing->context, borrowing->waiting, 1);
              return has_room;
            }

            static uint32_t needs(void *instance) { (void)instance; return 0; }
            static sluice_status on_request(void *instance, sluice_exchange *exchange, sluice_request *request,
                                            sluice_response *answer) {
              (void)answer;
              return suspends(instance, exchange, request, "filter") ? SLUICE_PENDING : SLUICE_OK;
            }
            static sluice_status on_response(void *instance, sluice_exchange *exchange, const sluice_request *request,
                                             sluice_response *response) {
              (void)response;
              return suspends(instance, exchange, request, "answer") ? SLUICE_PENDING : SLUICE_OK;
            }
            static sluice_status route(void *instance, sluice_exchange *exchange, const sluice_request *request,
                                       sluice_route_decision *decision) {
              decision->version = 0;
              return suspends(instance, exchange, request, "router") ? SLUICE_PENDING : SLUICE_OK;
            }
            static sluice_status infer(void *instance, sluice_exchange *exchange, const sluice_request *request,
                                       sluice_response *response) {
              if (suspends(instance, exchange, request, "backend")) return SLUICE_PENDING;
              response->payload = request->payload;
              response->payload.output_count = 0;
              return SLUICE_OK;
            }
            static sluice_status describe(void *instance, sluice_metadata *metadata) {
              (void)instance;
              metadata->platform = text("test");
              return SLUICE_OK;
            }

            static const sluice_filter filter = {
                .base = {sizeof(sluice_filter), SLUICE_INSTANCE_SHARED, create, destroy},
                .needs = needs, .on_request = on_request, .on_response = on_response};
            static const sluice_router router = {
                .base = {sizeof(sluice_router), SLUICE_INSTANCE_SHARED, create, destroy}, .route = route};
            static const sluice_backend backend = {
                .base = {sizeof(sluice_backend), SLUICE_INSTANCE_SHARED, create, destroy},
                .infer = infer, .describe = describe};
            """)
    }
}
