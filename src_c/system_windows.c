/* system_windows.c - system.h on Windows 7 and later. */
#include "system.h"

#if defined(_WIN32)

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

_Static_assert(sizeof(pygru_lock) == sizeof(SRWLOCK), "system.h declares it without windows.h");
_Static_assert(sizeof(pygru_condition) == sizeof(CONDITION_VARIABLE), "as above");

static DWORD WINAPI run_body(void *body) {
    ((void (*)(void))body)(); /* Windows allows this cast too */
    return 0;
}

/* From now on the code of this module stays in memory, because its threads never end. */
static int keep_loaded(void *code) {
    HMODULE module;
    return GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS |
                                  GET_MODULE_HANDLE_EX_FLAG_PIN,
                              code, &module) != 0;
}

int pygru_start_thread(void (*body)(void)) {
    HANDLE thread;
    if (!keep_loaded((void *)body)) {
        return 0;
    }
    thread = CreateThread(NULL, 0, run_body, (void *)body, 0, NULL);
    if (thread == NULL) {
        return 0;
    }
    (void)CloseHandle(thread); /* the thread goes on */
    return 1;
}

void pygru_call_in_forked_children(void (*body)(void)) { (void)body; /* there is no fork */ }

/* A process has an affinity within one group of up to 64 processors. If its threads are in
 * several groups, the mask is 0, and Windows 11 lets them use all. */
int32_t pygru_processors(void) {
    DWORD_PTR ours = 0, all = 0;
    int32_t processors = 0;
    if (GetProcessAffinityMask(GetCurrentProcess(), &ours, &all)) {
        for (; ours != 0; ours &= ours - 1) {
            processors++;
        }
    }
    if (processors == 0) {
        processors = (int32_t)GetActiveProcessorCount(ALL_PROCESSOR_GROUPS);
    }
    return processors < 1 ? 1 : processors;
}

void pygru_take(pygru_lock *lock) { AcquireSRWLockExclusive((SRWLOCK *)lock); }

void pygru_release(pygru_lock *lock) { ReleaseSRWLockExclusive((SRWLOCK *)lock); }

void pygru_wait(pygru_condition *condition, pygru_lock *lock) {
    (void)SleepConditionVariableSRW((CONDITION_VARIABLE *)condition, (SRWLOCK *)lock, INFINITE,
                                    0);
}

void pygru_wake_one(pygru_condition *condition) {
    WakeConditionVariable((CONDITION_VARIABLE *)condition);
}

void pygru_wake_all(pygru_condition *condition) {
    WakeAllConditionVariable((CONDITION_VARIABLE *)condition);
}

int64_t pygru_now_ns(void) {
    LARGE_INTEGER count, per_second;
    (void)QueryPerformanceCounter(&count);
    (void)QueryPerformanceFrequency(&per_second);
    /* Seconds and the rest apart, because the product of all would overflow after days. */
    return count.QuadPart / per_second.QuadPart * 1000000000 +
           count.QuadPart % per_second.QuadPart * 1000000000 / per_second.QuadPart;
}

int64_t pygru_thread_ns(void) {
    return -1; /* GetThreadTimes counts ticks of 16 ms, and a task takes microseconds */
}

void pygru_yield(void) { (void)SwitchToThread(); }

/* Sleep waits for ticks of up to 16 ms. Windows 10 has timers that are precise to half a
 * millisecond. */
void pygru_nap(int64_t ns) {
#if defined(CREATE_WAITABLE_TIMER_HIGH_RESOLUTION)
    const HANDLE timer = CreateWaitableTimerExW(
        NULL, NULL, CREATE_WAITABLE_TIMER_HIGH_RESOLUTION, TIMER_ALL_ACCESS);
    if (timer != NULL) {
        LARGE_INTEGER due;
        due.QuadPart = -((ns + 99) / 100); /* from now, in units of 100 ns */
        if (SetWaitableTimer(timer, &due, 0, NULL, NULL, FALSE)) {
            (void)WaitForSingleObject(timer, INFINITE);
        }
        (void)CloseHandle(timer);
        return;
    }
#endif
    Sleep((DWORD)((ns + 999999) / 1000000));
}

#else
typedef int pygru_no_windows; /* C wants at least one declaration in a file */
#endif
