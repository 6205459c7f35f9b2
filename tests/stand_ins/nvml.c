/* A stand-in for libnvidia-ml.so.1: one GPU that answers what a test recorded, and NotSupported for all else.

   Function names, structures and return codes are those of nvml.h (NVIDIA's NVML API reference guide); values come from
   the environment, STANDIN_NVML_<NAME>, so nothing in here was measured on a GPU. STANDIN_NVML_UUID is the GPU's. */

#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUCCESS = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, DRIVER_NOT_LOADED = 9 };

typedef struct { unsigned gpu, memory; } Utilization;
typedef struct { unsigned long long total, free, used; } Memory;
typedef struct { unsigned pid; unsigned long long used; unsigned gpu_instance, compute_instance; } Process;
typedef struct {
    unsigned id, scope; long long timestamp, latency; int type, result;
    union { double d; unsigned u; unsigned long long ull; } value;
} Field;

static int told(const char *name, unsigned long long *value) {
    char key[128];
    snprintf(key, sizeof key, "STANDIN_NVML_%s", name);
    const char *text = getenv(key);
    if (!text) return NOT_SUPPORTED;
    *value = strtoull(text, NULL, 0);
    return SUCCESS;
}

static int told_int(const char *name, unsigned *value) {
    unsigned long long wide;
    int code = told(name, &wide);
    if (code == SUCCESS) *value = (unsigned)wide;
    return code;
}

int nvmlInit_v2(void) { return getenv("STANDIN_NVML_NO_DRIVER") ? DRIVER_NOT_LOADED : SUCCESS; }
int nvmlShutdown(void) { return SUCCESS; }
const char *nvmlErrorString(int code) {
    return code == DRIVER_NOT_LOADED ? "Driver Not Loaded" : code == NOT_FOUND ? "Not Found" : "Not Supported";
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) {
    *device = (void *)0x1;
    return index == 0 ? SUCCESS : INVALID_ARGUMENT;
}
int nvmlDeviceGetHandleByUUID(const char *uuid, void **device) {
    const char *own = getenv("STANDIN_NVML_UUID");
    *device = (void *)0x1;
    return own && !strcmp(own, uuid) ? SUCCESS : NOT_FOUND;
}
int nvmlDeviceGetClockInfo(void *device, int type, unsigned *mhz) {
    (void)device;
    return told_int(type == 1 ? "CLOCK_SM" : type == 2 ? "CLOCK_MEM" : "CLOCK_OTHER", mhz);
}
int nvmlDeviceGetTemperature(void *device, int sensor, unsigned *celsius) {
    (void)device;
    return sensor == 0 ? told_int("TEMPERATURE", celsius) : INVALID_ARGUMENT;
}
int nvmlDeviceGetPowerUsage(void *device, unsigned *mw) { (void)device; return told_int("POWER", mw); }
int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *mj) { (void)device; return told("ENERGY", mj); }
#ifndef OLD_DRIVER
int nvmlDeviceGetCurrentClocksEventReasons(void *device, unsigned long long *bits) {
    (void)device;
    return told("REASONS", bits);
}
#else
int nvmlDeviceGetCurrentClocksThrottleReasons(void *device, unsigned long long *bits) {
    (void)device;
    return told("REASONS", bits);
}
#endif
int nvmlDeviceGetUtilizationRates(void *device, Utilization *rates) {
    (void)device;
    rates->memory = 0;
    return told_int("UTILIZATION", &rates->gpu);
}
int nvmlDeviceGetMemoryInfo(void *device, Memory *memory) {
    (void)device;
    memory->total = 85899345920ull;
    return told("MEMORY_USED", &memory->used);
}
int nvmlDeviceGetComputeRunningProcesses_v3(void *device, unsigned *count, Process *found) {
    (void)device;
    const char *text = getenv("STANDIN_NVML_PIDS");
    if (!text) return NOT_SUPPORTED;
    unsigned room = *count;
    char *end;
    for (*count = 0; *text && *count < room; text = *end ? end + 1 : end) {
        found[*count].pid = (unsigned)strtoul(text, &end, 10);
        found[(*count)++].used = 1 << 20;
    }
    return SUCCESS;
}
int nvmlDeviceGetFieldValues(void *device, int count, Field *fields) {
    (void)device;
    for (int i = 0; i < count; i++) {
        const char *name = fields[i].id == 82 ? "TEMPERATURE_MEMORY" : fields[i].id == 186 ? "POWER_NOW" : "FIELD";
        fields[i].result = told_int(name, &fields[i].value.u);
    }
    return SUCCESS;
}
