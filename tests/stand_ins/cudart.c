/* A stand-in for libcudart, never a GPU: it shows that a program obeys the rules of CUDA's runtime,
   and nothing of speed.

   What it does
   - "Device" memory is host memory of this process, counted against STANDIN_CUDA_MEMORY in steps of 256 bytes.
   - A stream runs its work at once, in the order of the calls, in the calling thread: a query always says "done".
   - An event is a stamp of CLOCK_MONOTONIC, so elapsed times are those of this computer.
   - A captured stream runs nothing: copies, memsets and host calls become nodes, and every launch of the graph runs
     them again.

   What it refuses, where CUDA may crash or go on in silence
   - copies and memsets whose pointers, sizes or direction do not fit live allocations (cudaErrorInvalidValue); freed
     memory, pinned memory too, is unmapped and its addresses are not used again
   - streams, events and graphs that were destroyed or never made (cudaErrorInvalidResourceHandle)
   - in a capture: to allocate, free or wait, which spoils it (900, then 901); to end it from another thread (908)
   - everything after an error that sticks (700)
   What it does not have: capture over several streams, graphs within graphs (cudaErrorNotSupported), kernels.

   Set in the environment, read at the first call and by standin_reset()
     STANDIN_CUDA_MEMORY       bytes of "device" memory, 1 GiB
     STANDIN_CUDA_FAIL_AFTER   so many copies, memsets and host calls work, the next one is cudaErrorIllegalAddress
     STANDIN_CUDA_RUNTIME, STANDIN_CUDA_DRIVER    versions, 12060; driver 0: there is none
     STANDIN_CUDA_DEVICES      how many GPUs there are, 1
     STANDIN_CUDA_CAPABILITY   compute capability, 8.7

   Exported beside CUDA's functions: standin_enqueue_host_call, standin_is_device_memory, standin_live_allocations,
   standin_live_handles, standin_waits, standin_reset, each described where it is defined.
   Compiled with -DBEFORE_CUDA_11_4, cudaGraphInstantiateWithFlags is missing and cudaGraphInstantiate has its older
   signature. */

#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum {
    SUCCESS = 0, INVALID_VALUE = 1, MEMORY = 2, OLD_DRIVER = 35, NO_DEVICE = 100, INVALID_DEVICE = 101,
    INVALID_HANDLE = 400, ILLEGAL_STATE = 401, NOT_READY = 600, ILLEGAL_ADDRESS = 700, NOT_SUPPORTED = 801,
    CAPTURE_UNSUPPORTED = 900, CAPTURE_INVALIDATED = 901, CAPTURE_ISOLATION = 905, CAPTURED_EVENT = 907,
    CAPTURE_WRONG_THREAD = 908
};
static const struct { int number; const char *name, *text; } ERRORS[] = {
    {SUCCESS, "cudaSuccess", "no error"},
    {INVALID_VALUE, "cudaErrorInvalidValue", "invalid argument"},
    {MEMORY, "cudaErrorMemoryAllocation", "out of memory"},
    {OLD_DRIVER, "cudaErrorInsufficientDriver", "CUDA driver version is insufficient for CUDA runtime version"},
    {NO_DEVICE, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {INVALID_DEVICE, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {INVALID_HANDLE, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    {ILLEGAL_STATE, "cudaErrorIllegalState", "the operation cannot be performed in the present state"},
    {NOT_READY, "cudaErrorNotReady", "device not ready"},
    {ILLEGAL_ADDRESS, "cudaErrorIllegalAddress", "an illegal memory access was encountered"},
    {NOT_SUPPORTED, "cudaErrorNotSupported", "operation not supported"},
    {CAPTURE_UNSUPPORTED, "cudaErrorStreamCaptureUnsupported", "operation not permitted when stream is capturing"},
    {CAPTURE_INVALIDATED, "cudaErrorStreamCaptureInvalidated",
     "operation failed due to a previous error during capture"},
    {CAPTURE_ISOLATION, "cudaErrorStreamCaptureIsolation",
     "dependency created on uncaptured work in another stream"},
    {CAPTURED_EVENT, "cudaErrorCapturedEvent",
     "operation not permitted on an event last recorded in a capturing stream"},
    {CAPTURE_WRONG_THREAD, "cudaErrorStreamCaptureWrongThread",
     "attempt to terminate a thread-local capture sequence from another thread"},
};

typedef enum { STREAM = 1, EVENT, GRAPH, EXEC } Kind;
typedef enum { COPY, FILL, HOST_CALL } What;
typedef enum { NEVER, STAMPED, IN_CAPTURE } Recorded;

typedef struct {
    What what;
    char *target;
    const char *source;
    size_t size;
    int value; /* the direction of a copy, the byte of a memset */
    void (*call)(void *);
    void *user;
} Work;

typedef struct Handle {
    Kind kind;
    struct Handle *next;
    /* an event */
    unsigned flags;
    Recorded recorded;
    int64_t stamp_ns;
    /* a graph, and a stream in capture */
    Work *nodes;
    size_t count;
    int capturing, spoilt, mode;
    pthread_t captured_by;
} Handle;

typedef struct Allocation {
    char *address;
    size_t size, mapped;
    int device, live; /* a freed one stays in the list: its addresses are refused */
    struct Allocation *next;
} Allocation;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* never held while a host call runs */
static Handle *handles;
static Allocation *allocations;
static int configured, sticky, runtime_version, driver_version, devices, major, minor;
static size_t memory, used;
static long long works_left, waits[2];
static unsigned device_flags;
static __thread int last_error;

static long long setting(const char *name, long long otherwise) {
    const char *text = getenv(name);
    return text && *text ? atoll(text) : otherwise;
}

static void configure(void) {
    const char *capability = getenv("STANDIN_CUDA_CAPABILITY");
    if (!capability || sscanf(capability, "%d.%d", &major, &minor) != 2) major = 8, minor = 7;
    memory = (size_t)setting("STANDIN_CUDA_MEMORY", 1LL << 30);
    works_left = setting("STANDIN_CUDA_FAIL_AFTER", -1);
    runtime_version = (int)setting("STANDIN_CUDA_RUNTIME", 12060);
    driver_version = (int)setting("STANDIN_CUDA_DRIVER", 12060);
    devices = (int)setting("STANDIN_CUDA_DEVICES", 1);
    sticky = 0;
    device_flags = 0;
    waits[0] = waits[1] = 0;
    configured = 1;
}

static void enter(void) {
    pthread_mutex_lock(&lock);
    if (!configured) configure();
}

static int leave(int code) {
    pthread_mutex_unlock(&lock);
    if (code) last_error = code;
    return code;
}

/* What keeps any call from working: no driver, no device, an error that sticks. */
static int out_of_order(void) {
    if (driver_version / 1000 < runtime_version / 1000) return OLD_DRIVER;
    if (devices < 1) return NO_DEVICE;
    return sticky;
}

static int is(const void *pointer, Kind kind) {
    for (Handle *handle = handles; handle; handle = handle->next)
        if (handle == pointer) return handle->kind == kind;
    return 0;
}

static Handle *made(Kind kind) {
    Handle *handle = calloc(1, sizeof *handle);
    handle->kind = kind;
    handle->next = handles;
    handles = handle;
    return handle;
}

static int destroyed(void *pointer, Kind kind) {
    if (!is(pointer, kind)) return INVALID_HANDLE;
    Handle **link = &handles;
    while (*link != pointer) link = &(*link)->next;
    *link = (*link)->next;
    free(((Handle *)pointer)->nodes);
    free(pointer);
    return SUCCESS;
}

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

/* ---- captures */

static int spoil(Handle *stream) {
    stream->spoilt = 1;
    return CAPTURE_UNSUPPORTED;
}

/* A call that is not allowed while some capture runs spoils that capture. `everywhere`: whatever the capture's mode. */
static int unsafe(int everywhere) {
    int code = SUCCESS;
    for (Handle *handle = handles; handle; handle = handle->next) {
        if (handle->kind != STREAM || !handle->capturing) continue;
        int mine = pthread_equal(handle->captured_by, pthread_self());
        if (everywhere || handle->mode == 0 || (handle->mode == 1 && mine)) code = spoil(handle);
    }
    return code;
}

static int add_node(Handle *graph, const Work *work) {
    Work *nodes = realloc(graph->nodes, (graph->count + 1) * sizeof *nodes);
    if (!nodes) return MEMORY;
    graph->nodes = nodes;
    nodes[graph->count++] = *work;
    return SUCCESS;
}

/* ---- memory */

static Allocation *overlapping(const char *address, size_t size) {
    for (Allocation *one = allocations; one; one = one->next)
        if (address < one->address + one->mapped && one->address < address + size) return one;
    return NULL;
}

static int within(const char *address, size_t size, int device) {
    Allocation *one = overlapping(address, size);
    if (!one) return !device && address; /* pageable memory of the host, of which nothing is known */
    return one->live && one->device == device && address >= one->address &&
           (size_t)(address - one->address) <= one->size && size <= one->size - (size_t)(address - one->address);
}

static int fits(const Work *work) {
    if (work->what == FILL) return within(work->target, work->size, 1);
    if (work->what != COPY || !work->size) return 1;
    int kind = work->value;
    if (kind == 4) /* cudaMemcpyDefault */
        return (within(work->source, work->size, 0) || within(work->source, work->size, 1)) &&
               (within(work->target, work->size, 0) || within(work->target, work->size, 1));
    return kind >= 0 && kind <= 3 && within(work->source, work->size, kind >= 2) &&
           within(work->target, work->size, kind & 1);
}

static size_t charged(size_t size) { return (size + 255) / 256 * 256; }

static int allocate(void **pointer, size_t size, int device) {
    enter();
    int code = out_of_order();
    if (!code) code = unsafe(0);
    if (code || !pointer) return leave(code ? code : INVALID_VALUE);
    *pointer = NULL;
    if (!size) return leave(SUCCESS);
    if (device && (size > memory || charged(size) > memory - used)) return leave(MEMORY);
    size_t mapped = (size + 4095) / 4096 * 4096;
    char *address = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped < size || address == MAP_FAILED) return leave(MEMORY);
    Allocation *one = malloc(sizeof *one);
    *one = (Allocation){address, size, mapped, device, 1, allocations};
    allocations = one;
    if (device) used += charged(size);
    *pointer = address;
    return leave(SUCCESS);
}

static int release(char *address, int device) {
    enter();
    int code = out_of_order();
    if (!code && address) code = unsafe(0);
    if (code || !address) return leave(code);
    Allocation *one = overlapping(address, 1);
    if (!one || !one->live || one->address != address || one->device != device) return leave(INVALID_VALUE);
    one->live = 0;
    if (device) used -= charged(one->size);
    mmap(one->address, one->mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
    return leave(SUCCESS);
}

/* ---- work */

/* Called with the lock held, which is let go while a host call runs. */
static int run(const Work *work) {
    if (sticky) return sticky;
    if (!fits(work)) return INVALID_VALUE;
    if (works_left == 0) return sticky = ILLEGAL_ADDRESS;
    if (works_left > 0) works_left--;
    if (work->what == COPY) memmove(work->target, work->source, work->size);
    if (work->what == FILL) memset(work->target, work->value, work->size);
    if (work->what == HOST_CALL) {
        pthread_mutex_unlock(&lock);
        work->call(work->user);
        pthread_mutex_lock(&lock);
    }
    return SUCCESS;
}

/* NULL is the default stream, which cannot be captured. */
static int enqueue(Handle *stream, const Work *work) {
    enter();
    int code = out_of_order();
    if (code) return leave(code);
    if (stream && !is(stream, STREAM)) return leave(INVALID_HANDLE);
    if (!stream || !stream->capturing) return leave(run(work));
    if (stream->spoilt) return leave(CAPTURE_INVALIDATED);
    return leave(fits(work) ? add_node(stream, work) : INVALID_VALUE);
}

/* ---- what is exported beside CUDA's functions */

/* Puts call(user) on a stream as a kernel would be: it runs at once, or, in a capture, at every launch of the graph.
   It may use the "device" memory and call CUDA. */
int standin_enqueue_host_call(Handle *stream, void (*call)(void *), void *user) {
    return enqueue(stream, &(Work){.what = HOST_CALL, .call = call, .user = user});
}

/* Whether so many bytes from this address on are within one allocation on the device that was not freed. */
int standin_is_device_memory(const char *address, size_t size) {
    enter();
    int holds = within(address, size, 1);
    leave(SUCCESS);
    return holds;
}

/* Allocations, of device and pinned memory, that were not freed. */
int standin_live_allocations(void) {
    int count = 0;
    enter();
    for (Allocation *one = allocations; one; one = one->next) count += one->live;
    leave(SUCCESS);
    return count;
}

/* Streams, events, graphs and executable graphs that were not destroyed. */
int standin_live_handles(void) {
    int count = 0;
    enter();
    for (Handle *handle = handles; handle; handle = handle->next) count++;
    leave(SUCCESS);
    return count;
}

/* How often somebody waited for an event: asleep, for a blocking one, or spinning, as for any other. */
long long standin_waits(int asleep) {
    enter();
    long long count = waits[!!asleep];
    leave(SUCCESS);
    return count;
}

/* Frees and forgets everything, the sticky error too, and reads the environment again: a new process in one call. */
void standin_reset(void) {
    enter();
    while (handles) destroyed(handles, handles->kind);
    for (Allocation *one = allocations; one; one = one->next) {
        if (one->live) mmap(one->address, one->mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        one->live = 0;
    }
    used = 0;
    configure();
    leave(SUCCESS);
    last_error = SUCCESS;
}

/* ---- CUDA: versions, errors, the device */

const char *cudaGetErrorName(int number) {
    for (size_t i = 0; i < sizeof ERRORS / sizeof *ERRORS; i++)
        if (ERRORS[i].number == number) return ERRORS[i].name;
    return "unrecognized error code";
}

const char *cudaGetErrorString(int number) {
    for (size_t i = 0; i < sizeof ERRORS / sizeof *ERRORS; i++)
        if (ERRORS[i].number == number) return ERRORS[i].text;
    return "unrecognized error code";
}

int cudaGetLastError(void) {
    int code = last_error;
    enter();
    last_error = sticky;
    leave(SUCCESS);
    return code;
}

int cudaRuntimeGetVersion(int *version) {
    enter();
    if (runtime_version < 12000 && out_of_order() == OLD_DRIVER) return leave(OLD_DRIVER); /* as CUDA 11.8 does */
    *version = runtime_version;
    return leave(SUCCESS);
}

int cudaDriverGetVersion(int *version) {
    enter();
    *version = driver_version;
    return leave(SUCCESS);
}

int cudaGetDeviceCount(int *count) {
    enter();
    int code = out_of_order();
    *count = code == NO_DEVICE || code == OLD_DRIVER ? 0 : devices;
    return leave(code);
}

int cudaSetDevice(int ordinal) {
    enter();
    int code = out_of_order();
    return leave(code ? code : ordinal < 0 || ordinal >= devices ? INVALID_DEVICE : SUCCESS);
}

int cudaSetDeviceFlags(unsigned flags) {
    enter();
    int code = out_of_order();
    if (!code && (flags & ~0x1fu || (flags & 7) == 3 || (flags & 7) > 4)) code = INVALID_VALUE;
    if (!code) device_flags = flags;
    return leave(code);
}

int cudaGetDeviceFlags(unsigned *flags) {
    enter();
    *flags = device_flags | 8; /* cudaDeviceMapHost is always on */
    return leave(out_of_order());
}

int cudaDeviceGetAttribute(int *value, int attribute, int ordinal) {
    enter();
    int code = out_of_order();
    if (code) return leave(code);
    if (ordinal < 0 || ordinal >= devices) return leave(INVALID_DEVICE);
    switch (attribute) {
    case 13: *value = 918000; break;   /* SM clock, kHz */
    case 16: *value = 8; break;        /* multiprocessors */
    case 18: *value = 1; break;        /* integrated */
    case 36: *value = 0; break;        /* memory clock, kHz: not told */
    case 38: *value = 4 << 20; break;  /* L2, bytes */
    case 75: *value = major; break;
    case 76: *value = minor; break;
    default: code = INVALID_VALUE;
    }
    return leave(code);
}

int cudaDeviceSynchronize(void) {
    enter();
    int code = out_of_order();
    return leave(code ? code : unsafe(1));
}

/* ---- CUDA: memory */

int cudaMemGetInfo(size_t *free_bytes, size_t *total_bytes) {
    enter();
    *free_bytes = memory - used;
    *total_bytes = memory;
    return leave(out_of_order());
}

int cudaMalloc(void **pointer, size_t size) { return allocate(pointer, size, 1); }

int cudaFree(void *pointer) { return release(pointer, 1); }

int cudaHostAlloc(void **pointer, size_t size, unsigned flags) {
    return flags & ~7u ? INVALID_VALUE : allocate(pointer, size, 0);
}

int cudaFreeHost(void *pointer) { return release(pointer, 0); }

int cudaMemcpyAsync(void *target, const void *source, size_t size, int kind, Handle *stream) {
    return enqueue(stream, &(Work){.what = COPY, .target = target, .source = source, .size = size, .value = kind});
}

int cudaMemsetAsync(void *target, int value, size_t size, Handle *stream) {
    return enqueue(stream, &(Work){.what = FILL, .target = target, .size = size, .value = value});
}

/* ---- CUDA: streams and events */

int cudaStreamCreateWithFlags(Handle **stream, unsigned flags) {
    enter();
    int code = out_of_order();
    if (!code && flags > 1) code = INVALID_VALUE;
    if (!code) *stream = made(STREAM);
    return leave(code);
}

int cudaStreamDestroy(Handle *stream) {
    enter();
    int code = out_of_order();
    return leave(code ? code : destroyed(stream, STREAM));
}

int cudaStreamSynchronize(Handle *stream) {
    enter();
    int code = out_of_order();
    if (code) return leave(code);
    if (stream && !is(stream, STREAM)) return leave(INVALID_HANDLE);
    return leave(stream && stream->capturing ? spoil(stream) : SUCCESS);
}

int cudaStreamQuery(Handle *stream) { return cudaStreamSynchronize(stream); }

int cudaEventCreateWithFlags(Handle **event, unsigned flags) {
    enter();
    int code = out_of_order();
    if (!code && flags & ~7u) code = INVALID_VALUE;
    if (!code) {
        *event = made(EVENT);
        (*event)->flags = flags;
    }
    return leave(code);
}

int cudaEventDestroy(Handle *event) {
    enter();
    int code = out_of_order();
    return leave(code ? code : destroyed(event, EVENT));
}

int cudaEventRecord(Handle *event, Handle *stream) {
    enter();
    int code = out_of_order();
    if (code) return leave(code);
    if (!is(event, EVENT) || (stream && !is(stream, STREAM))) return leave(INVALID_HANDLE);
    if (stream && stream->capturing) {
        if (stream->spoilt) return leave(CAPTURE_INVALIDATED);
        event->recorded = IN_CAPTURE;
        return leave(SUCCESS);
    }
    event->stamp_ns = now_ns();
    event->recorded = STAMPED;
    return leave(SUCCESS);
}

int cudaEventSynchronize(Handle *event) {
    enter();
    int code = out_of_order();
    if (code) return leave(code);
    if (!is(event, EVENT)) return leave(INVALID_HANDLE);
    waits[event->flags & 1]++;
    return leave(event->recorded == IN_CAPTURE ? CAPTURED_EVENT : SUCCESS);
}

int cudaEventQuery(Handle *event) { return cudaEventSynchronize(event); }

int cudaEventElapsedTime(float *ms, Handle *start, Handle *end) {
    enter();
    int code = out_of_order();
    if (code) return leave(code);
    if (!is(start, EVENT) || !is(end, EVENT)) return leave(INVALID_HANDLE);
    if ((start->flags | end->flags) & 2 || start->recorded != STAMPED || end->recorded != STAMPED)
        return leave(INVALID_HANDLE);
    *ms = (float)((double)(end->stamp_ns - start->stamp_ns) / 1e6);
    return leave(SUCCESS);
}

int cudaStreamWaitEvent(Handle *stream, Handle *event, unsigned flags) {
    enter();
    int code = out_of_order();
    if (code) return leave(code);
    if (!is(event, EVENT) || (stream && !is(stream, STREAM))) return leave(INVALID_HANDLE);
    if (flags) return leave(INVALID_VALUE);
    int capturing = stream && stream->capturing;
    if (event->recorded == IN_CAPTURE && !capturing) return leave(NOT_SUPPORTED); /* would join the capture */
    if (event->recorded == STAMPED && capturing) {
        stream->spoilt = 1;
        return leave(CAPTURE_ISOLATION);
    }
    return leave(SUCCESS);
}

/* ---- CUDA: graphs */

int cudaStreamBeginCapture(Handle *stream, int mode) {
    enter();
    int code = out_of_order();
    if (code) return leave(code);
    if (!stream) return leave(CAPTURE_UNSUPPORTED);
    if (!is(stream, STREAM)) return leave(INVALID_HANDLE);
    if (mode < 0 || mode > 2) return leave(INVALID_VALUE);
    if (stream->capturing) return leave(ILLEGAL_STATE);
    stream->capturing = 1;
    stream->spoilt = 0;
    stream->mode = mode;
    stream->captured_by = pthread_self();
    return leave(SUCCESS);
}

int cudaStreamEndCapture(Handle *stream, Handle **graph) {
    enter();
    *graph = NULL;
    int code = out_of_order();
    if (code) return leave(code);
    if (!is(stream, STREAM)) return leave(INVALID_HANDLE);
    if (!stream->capturing) return leave(ILLEGAL_STATE);
    if (stream->mode != 2 && !pthread_equal(stream->captured_by, pthread_self())) {
        stream->spoilt = 1;
        return leave(CAPTURE_WRONG_THREAD);
    }
    stream->capturing = 0;
    if (stream->spoilt) {
        free(stream->nodes);
    } else {
        *graph = made(GRAPH);
        (*graph)->nodes = stream->nodes;
        (*graph)->count = stream->count;
    }
    stream->nodes = NULL;
    stream->count = 0;
    return leave(stream->spoilt ? CAPTURE_INVALIDATED : SUCCESS);
}

int cudaGraphGetNodes(Handle *graph, void **nodes, size_t *count) {
    enter();
    int code = out_of_order();
    if (!code && (!is(graph, GRAPH) || nodes)) code = nodes ? NOT_SUPPORTED : INVALID_VALUE;
    if (!code) *count = graph->count;
    return leave(code);
}

static int instantiate(Handle **exec, Handle *graph) {
    enter();
    int code = out_of_order();
    if (!code && !is(graph, GRAPH)) code = INVALID_VALUE;
    if (!code) {
        *exec = made(EXEC);
        for (size_t i = 0; i < graph->count && !code; i++) code = add_node(*exec, &graph->nodes[i]);
    }
    return leave(code);
}

#ifdef BEFORE_CUDA_11_4
int cudaGraphInstantiate(Handle **exec, Handle *graph, void **bad_node, char *log, size_t log_size) {
    return bad_node || log || log_size ? NOT_SUPPORTED : instantiate(exec, graph);
}
#else
int cudaGraphInstantiate(Handle **exec, Handle *graph, unsigned long long flags) {
    return flags ? NOT_SUPPORTED : instantiate(exec, graph);
}

int cudaGraphInstantiateWithFlags(Handle **exec, Handle *graph, unsigned long long flags) {
    return cudaGraphInstantiate(exec, graph, flags);
}
#endif

int cudaGraphLaunch(Handle *exec, Handle *stream) {
    enter();
    int code = out_of_order();
    if (code) return leave(code);
    if (!is(exec, EXEC) || (stream && !is(stream, STREAM))) return leave(INVALID_HANDLE);
    if (stream && stream->capturing) return leave(NOT_SUPPORTED);
    for (size_t i = 0; i < exec->count && !code; i++) {
        Work work = exec->nodes[i]; /* a host call may destroy the graph */
        code = run(&work);
        if (!code && !is(exec, EXEC)) code = INVALID_HANDLE;
    }
    return leave(code);
}

int cudaGraphDestroy(Handle *graph) {
    enter();
    int code = out_of_order();
    return leave(code ? code : destroyed(graph, GRAPH));
}

int cudaGraphExecDestroy(Handle *exec) {
    enter();
    int code = out_of_order();
    return leave(code ? code : destroyed(exec, EXEC));
}
