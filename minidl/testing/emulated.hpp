// CUDA C++ on a CPU: the threads of a grid run one after another, so kernels are tested without a GPU, from the same
// source that nvcc compiles.
//
// In a kernel with __syncthreads(), each thread of a block has its own stack, and runs up to the next barrier at a
// time. Nothing may depend on the order of threads and blocks, so the order is unusual: blocks from the last to the
// first, and the threads of a block from the last to the first in every other phase.
//
// Few headers are included, because they take most of the compile time of a kernel.
#include <cstddef>
#include <type_traits>
#include <ucontext.h>
#include <utility>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static

struct dim3 {
    unsigned x, y, z;
    unsigned size() const { return x * y * z; }
    dim3 at(unsigned number) const { return {number % x, number / x % y, number / x / y}; }
};
static dim3 gridDim, blockDim, blockIdx, threadIdx;

inline int min(int a, int b) { return a < b ? a : b; }
inline int max(int a, int b) { return a > b ? a : b; }
inline float sqrt(float x) { return __builtin_sqrtf(x); }
inline double sqrt(double x) { return __builtin_sqrt(x); }
inline float exp(float x) { return __builtin_expf(x); }
inline double exp(double x) { return __builtin_exp(x); }
inline float log(float x) { return __builtin_logf(x); }
inline double log(double x) { return __builtin_log(x); }
inline float log1p(float x) { return __builtin_log1pf(x); }
inline double log1p(double x) { return __builtin_log1p(x); }
inline float fabs(float x) { return __builtin_fabsf(x); }
inline double fabs(double x) { return __builtin_fabs(x); }

inline float __int_as_float(int bits) {
    float value;
    __builtin_memcpy(&value, &bits, sizeof value);
    return value;
}

inline int __float_as_int(float value) {
    int bits;
    __builtin_memcpy(&bits, &value, sizeof bits);
    return bits;
}

namespace emulated {

// The arrays of a launch are far apart in one block of memory, and the memory between them is unused: the first access
// to it is recorded. GCC calls the functions at the end of this file before each access (-fsanitize=kernel-address),
// even one that does not affect the result.
struct Span {
    size_t begin, end;
};
struct Memory {
    Span whole;
    const Span *arrays, *end;
    size_t beyond;
    bool written;
};
static Memory memory;
#define UNCHECKED __attribute__((no_sanitize_address))

UNCHECKED static inline void access(size_t address, size_t size, bool writes) {
    if (address - memory.whole.begin >= memory.whole.end - memory.whole.begin) return;
    for (const Span* array = memory.arrays; array < memory.end; ++array) {
        if (address >= array->begin && address + size <= array->end) return;
    }
    if (memory.beyond) return;
    memory.beyond = address;
    memory.written = writes;
}

constexpr size_t STACK = 1 << 16;

// A thread of a block: its stack, and the place in the code at which it waits.
struct Thread {
    char* stack;
    void* place[5];
    bool started, done;
};
static Thread threads[1024];
static void* scheduler[5];
static Thread* running;
static void (*body)(void*);
static void* arguments;

// GCC's own setjmp and longjmp change the stack in a few instructions; swapcontext also makes a system call, which takes
// longer than the code between two barriers. Functions that call them must not be inlined.
#define SWITCHES __attribute__((noinline))
SWITCHES static void jump(void** place) { __builtin_longjmp(place, 1); }

// Runs the other threads up to the next barrier.
SWITCHES static void wait() {
    if (!__builtin_setjmp(running->place)) jump(scheduler);
}

// A thread runs once per block; between two blocks it waits.
static void run_thread() {
    for (;; wait()) {
        body(arguments);
        running->done = true;
    }
}

static void start(Thread& thread) {
    ucontext_t context;
    getcontext(&context);
    if (!thread.stack) thread.stack = static_cast<char*>(__builtin_malloc(STACK));
    context.uc_stack.ss_sp = thread.stack;
    context.uc_stack.ss_size = STACK;
    makecontext(&context, run_thread, 0);
    thread.started = true;
    setcontext(&context);
}

SWITCHES static void run_to_barrier(Thread& thread) {
    running = &thread;
    thread.done = false;
    if (__builtin_setjmp(scheduler)) return;
    if (thread.started) jump(thread.place);
    start(thread);
}

// Runs all threads of a block to the end; false if some wait at a barrier that others never reach.
static bool run_block() {
    const unsigned count = blockDim.size();
    for (bool forward = true;; forward = !forward) {
        unsigned done = 0;
        for (unsigned i = 0; i < count; ++i) {
            const unsigned number = forward ? i : count - 1 - i;
            threadIdx = blockDim.at(number);
            run_to_barrier(threads[number]);
            done += threads[number].done;
        }
        if (done == count) return true;
        if (done == 0) continue;
        for (Thread& thread : threads) thread.started = false;
        return false;
    }
}

// Without barriers, a thread is a function call.
static bool run_block_without_barriers() {
    for (unsigned i = 0; i < blockDim.size(); ++i) {
        threadIdx = blockDim.at(i);
        body(arguments);
    }
    return true;
}

// The kind of a parameter in NumPy's letters: {'f', 4}, {'i', 8}, {'V', 48} for a struct; for a pointer, its target.
struct Kind {
    bool pointer, constant;
    char letter;
    unsigned short size;
};

template <typename T> constexpr Kind kind() {
    using Pointee = std::remove_pointer_t<T>;
    using Value = std::remove_const_t<Pointee>;
    constexpr char letter = std::is_same_v<Value, bool>         ? 'b'
                            : std::is_floating_point_v<Value>   ? 'f'
                            : !std::is_integral_v<Value>        ? 'V'
                            : std::is_signed_v<Value>           ? 'i'
                                                                : 'u';
    return {std::is_pointer_v<T>, std::is_const_v<Pointee>, letter, sizeof(Value)};
}

template <typename... P> UNCHECKED const Kind* kinds(void (*)(P...), int* count) {
    static constexpr Kind list[] = {kind<P>()...};
    *count = sizeof...(P);
    return list;
}

template <typename... P, size_t... I>
void call(void (*kernel)(P...), void** pointers, std::index_sequence<I...>) {
    kernel(*static_cast<P*>(pointers[I])...);
}

template <typename... P>
UNCHECKED bool launch(void (*kernel)(P...), const unsigned* sizes, void** pointers, Memory* reachable, bool barriers) {
    static decltype(kernel) target;
    target = kernel;
    memory = *reachable;  // without a pointer to follow at every access
    body = [](void* given) { call(target, static_cast<void**>(given), std::index_sequence_for<P...>()); };
    arguments = pointers;
    gridDim = {sizes[0], sizes[1], sizes[2]};
    blockDim = {sizes[3], sizes[4], sizes[5]};
    bool met = true;
    for (unsigned i = gridDim.size(); met && i-- > 0;) {
        blockIdx = gridDim.at(i);
        met = barriers ? run_block() : run_block_without_barriers();
    }
    *reachable = memory;
    return met;
}

}  // namespace emulated

// The value of another lane of the warp. Here, all threads of a block must call it.
template <typename T> T __shfl_xor_sync(unsigned, T value, int distance) {
    static T values[1024];
    const unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
    values[thread] = value;
    emulated::wait();
    value = values[thread ^ distance];
    emulated::wait();
    return value;
}

// mma.sync.m16n8k8 in TF32: the lanes of a warp hold the fragments of the PTX ISA ("Matrix Fragments for mma.m16n8k8"),
// and each computes its own four sums. Here, all warps of a block must call it.
#define MINIDL_TENSOR_CORES
inline void mma_m16n8k8(float (&top)[2], float (&bottom)[2], const float (&a)[4], const float (&b)[2]) {
    static float fragments[1024][6];
    const unsigned first = threadIdx.x / 32 * 32, group = threadIdx.x % 32 / 4, in_group = threadIdx.x % 4;
    for (int i = 0; i < 6; ++i) fragments[threadIdx.x][i] = i < 4 ? a[i] : b[i - 4];
    emulated::wait();
    for (unsigned k = 0; k < 8; ++k) {
        for (unsigned j = 0; j < 2; ++j) {
            const float right = fragments[first + (2 * in_group + j) * 4 + k % 4][4 + k / 4];
            const float* left = fragments[first + group * 4 + k % 4] + k / 4 * 2;
            top[j] += left[0] * right;
            bottom[j] += left[1] * right;
        }
    }
    emulated::wait();
}

#define MINIDL_ACCESSES(SIZE) \
    UNCHECKED void __asan_load##SIZE##_noabort(size_t address) { emulated::access(address, SIZE, false); } \
    UNCHECKED void __asan_store##SIZE##_noabort(size_t address) { emulated::access(address, SIZE, true); }
#pragma GCC visibility push(hidden)
extern "C" {
MINIDL_ACCESSES(1)
MINIDL_ACCESSES(2)
MINIDL_ACCESSES(4)
MINIDL_ACCESSES(8)
MINIDL_ACCESSES(16)
UNCHECKED void __asan_loadN_noabort(size_t address, size_t size) { emulated::access(address, size, false); }
UNCHECKED void __asan_storeN_noabort(size_t address, size_t size) { emulated::access(address, size, true); }
void __asan_handle_no_return() {}
}
#pragma GCC visibility pop
