/* A small libnvidia-ml.so.1. What it answers stands in the file that the environment variable FAKE_NVML names, which
 * is read anew at each call; each call is appended to the file of that name with ".calls" behind it, as a line of pid,
 * function and device. The lines of the script:
 *
 *   gpu UUID UTILISATION USED RESERVED TOTAL MILLIWATTS MILLIJOULES     the GPUs, in the order of their index
 *   mig UUID UTILISATION USED RESERVED TOTAL MILLIWATTS MILLIJOULES     MIG devices, which tell their memory only
 *   error FUNCTION CODE [DEVICE]                                        what a function answers, for one device or all
 *   delay FUNCTION MILLISECONDS                                         how long it takes
 */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SUCCESS 0
#define UNINITIALIZED 1
#define INVALID_ARGUMENT 2
#define NOT_SUPPORTED 3
#define NOT_FOUND 6
#define INSUFFICIENT_SIZE 7
#define ARGUMENT_VERSION_MISMATCH 25
#define UNKNOWN 999

#define MOST 16
#define NO_DEVICE (-1)

typedef unsigned long long u64;
typedef struct { unsigned int gpu, memory; } utilization_t;
typedef struct { u64 total, free, used; } memory_t;
typedef struct { unsigned int version; u64 total, reserved, free, used; } memory_v2_t;

typedef struct {
    char uuid[96];
    int mig;
    unsigned int utilization, milliwatts;
    u64 used, reserved, total, millijoules;
} device_t;

typedef struct {
    device_t devices[MOST];
    int count, gpus;
    int answer, delay;
} script_t;

/* A handle is the address of one of these, so it stays the same while the script changes. */
static char handles[MOST];
static int initialised;

static int read_script(script_t *script, const char *function, int device) {
    const char *path = getenv("FAKE_NVML");
    char line[512];
    FILE *file = path ? fopen(path, "re") : NULL;
    memset(script, 0, sizeof *script);
    if (!file) return UNKNOWN;
    while (fgets(line, sizeof line, file)) {
        device_t *next = &script->devices[script->count];
        char kind[8], name[96];
        int number, only = NO_DEVICE;
        if (script->count < MOST &&
            sscanf(line, "%7s %95s %u %llu %llu %llu %u %llu", kind, next->uuid, &next->utilization, &next->used,
                   &next->reserved, &next->total, &next->milliwatts, &next->millijoules) == 8) {
            next->mig = strcmp(kind, "mig") == 0;
            script->count++;
            script->gpus += !next->mig;
        } else if (sscanf(line, "error %95s %d %d", name, &number, &only) >= 2) {
            if (strcmp(name, function) == 0 && (only == NO_DEVICE || only == device)) script->answer = number;
        } else if (sscanf(line, "delay %95s %d", name, &number) == 2) {
            if (strcmp(name, function) == 0) script->delay = number;
        }
    }
    fclose(file);
    return SUCCESS;
}

static void log_call(const char *function, int device) {
    char path[4096], line[160];
    int length, descriptor;
    snprintf(path, sizeof path, "%s.calls", getenv("FAKE_NVML"));
    length = snprintf(line, sizeof line, "%d %s %d\n", (int)getpid(), function, device);
    descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (descriptor >= 0) {
        if (write(descriptor, line, length) != length) abort();
        close(descriptor);
    }
}

/* Log a call, wait as long as the script says, and return what it wants answered. */
static int begin(script_t *script, const char *function, int device) {
    int failed = read_script(script, function, device);
    struct timespec delay = {script->delay / 1000, script->delay % 1000 * 1000000L};
    if (failed) return failed;
    log_call(function, device);
    nanosleep(&delay, NULL);
    return script->answer;
}

static int begin_initialised(script_t *script, const char *function, int device) {
    int answer = begin(script, function, device);
    return answer ? answer : initialised ? SUCCESS : UNINITIALIZED;
}

/* Do the same for a call that is given a handle, and find its device. */
static int begin_device(script_t *script, const char *function, void *handle, device_t **device) {
    int index = (char *)handle >= handles && (char *)handle < handles + MOST ? (int)((char *)handle - handles) : MOST;
    int answer = begin_initialised(script, function, index);
    if (answer) return answer;
    if (index >= script->count) return INVALID_ARGUMENT;
    *device = &script->devices[index];
    return SUCCESS;
}

void fake_nvml_reset(void) { initialised = 0; }

int fake_nvml_initialised(void) { return initialised; }

int nvmlInitWithFlags(unsigned int flags) {
    script_t script;
    int answer = begin(&script, "nvmlInitWithFlags", NO_DEVICE);
    (void)flags;
    if (!answer) initialised++;
    return answer;
}

int nvmlShutdown(void) {
    script_t script;
    int answer = begin_initialised(&script, "nvmlShutdown", NO_DEVICE);
    if (!answer) initialised--;
    return answer;
}

const char *nvmlErrorString(int code) {
    static char text[32];
    snprintf(text, sizeof text, "Fake error %d", code);
    return text;
}

int nvmlDeviceGetCount_v2(unsigned int *count) {
    script_t script;
    int answer = begin_initialised(&script, "nvmlDeviceGetCount_v2", NO_DEVICE);
    *count = script.gpus;
    return answer;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void **handle) {
    script_t script;
    int answer = begin_initialised(&script, "nvmlDeviceGetHandleByIndex_v2", (int)index);
    if (answer) return answer;
    for (int i = 0, gpu = 0; i < script.count; i++)
        if (!script.devices[i].mig && gpu++ == (int)index) {
            *handle = &handles[i];
            return SUCCESS;
        }
    return INVALID_ARGUMENT;
}

int nvmlDeviceGetHandleByUUID(const char *uuid, void **handle) {
    script_t script;
    int answer = begin_initialised(&script, "nvmlDeviceGetHandleByUUID", NO_DEVICE);
    if (answer) return answer;
    for (int i = 0; i < script.count; i++)
        if (strcmp(script.devices[i].uuid, uuid) == 0) {
            *handle = &handles[i];
            return SUCCESS;
        }
    return NOT_FOUND;
}

int nvmlDeviceGetUUID(void *handle, char *uuid, unsigned int length) {
    script_t script;
    device_t *device;
    int answer = begin_device(&script, "nvmlDeviceGetUUID", handle, &device);
    if (answer) return answer;
    if (strlen(device->uuid) >= length) return INSUFFICIENT_SIZE;
    strcpy(uuid, device->uuid);
    return SUCCESS;
}

int nvmlDeviceGetName(void *handle, char *name, unsigned int length) {
    script_t script;
    device_t *device;
    int answer = begin_device(&script, "nvmlDeviceGetName", handle, &device);
    if (!answer) snprintf(name, length, "Fake GPU");
    return answer;
}

int nvmlSystemGetDriverVersion(char *version, unsigned int length) {
    script_t script;
    int answer = begin_initialised(&script, "nvmlSystemGetDriverVersion", NO_DEVICE);
    if (!answer) snprintf(version, length, "550.54.15");
    return answer;
}

int nvmlDeviceGetUtilizationRates(void *handle, utilization_t *rates) {
    script_t script;
    device_t *device;
    int answer = begin_device(&script, "nvmlDeviceGetUtilizationRates", handle, &device);
    if (answer) return answer;
    if (device->mig) return NOT_SUPPORTED;
    rates->gpu = device->utilization;
    rates->memory = 1;
    return SUCCESS;
}

/* The first version counts what the driver reserves as used. */
int nvmlDeviceGetMemoryInfo(void *handle, memory_t *memory) {
    script_t script;
    device_t *device;
    int answer = begin_device(&script, "nvmlDeviceGetMemoryInfo", handle, &device);
    if (answer) return answer;
    memory->total = device->total;
    memory->used = device->used + device->reserved;
    memory->free = device->total - memory->used;
    return SUCCESS;
}

#ifndef OLD_DRIVER
int nvmlDeviceGetMemoryInfo_v2(void *handle, memory_v2_t *memory) {
    script_t script;
    device_t *device;
    int answer = begin_device(&script, "nvmlDeviceGetMemoryInfo_v2", handle, &device);
    if (answer) return answer;
    if (memory->version != (sizeof *memory | 2u << 24)) return ARGUMENT_VERSION_MISMATCH;
    memory->total = device->total;
    memory->reserved = device->reserved;
    memory->used = device->used;
    memory->free = device->total - device->used - device->reserved;
    return SUCCESS;
}

int nvmlDeviceGetTotalEnergyConsumption(void *handle, u64 *energy) {
    script_t script;
    device_t *device;
    int answer = begin_device(&script, "nvmlDeviceGetTotalEnergyConsumption", handle, &device);
    if (answer) return answer;
    if (device->mig) return NOT_SUPPORTED;
    *energy = device->millijoules;
    return SUCCESS;
}
#endif

int nvmlDeviceGetPowerUsage(void *handle, unsigned int *power) {
    script_t script;
    device_t *device;
    int answer = begin_device(&script, "nvmlDeviceGetPowerUsage", handle, &device);
    if (answer) return answer;
    if (device->mig) return NOT_SUPPORTED;
    *power = device->milliwatts;
    return SUCCESS;
}
