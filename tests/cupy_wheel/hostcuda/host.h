// What g++ must know to compile and run, on the host, a kernel that CuPy wrote for CUDA.
#include <cassert>
#include <cmath>
#include <csetjmp>
#include <cstddef>
#include <cstring>
#include <ucontext.h>
#include <utility>
using namespace std;

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __shared__ static  // blocks run one after the other

struct Index { unsigned x; };
static Index threadIdx, blockIdx, blockDim, gridDim;
static int __popc(unsigned x) { return __builtin_popcount(x); }
static int __popcll(unsigned long long x) { return __builtin_popcountll(x); }

// The threads of a block one after the other, from beginning to end.
static void run_alone(void (*kernel)()) {
    for (threadIdx.x = 0; threadIdx.x < blockDim.x; threadIdx.x++) kernel();
}

// The threads of a block take turns: each runs up to the next __syncthreads(). They are made once, by ucontext, and
// switched by jumps, which need no call of the system.
static jmp_buf scheduler, thread[1024];
static bool ended[1024];
static void (*work)();
static void __syncthreads() {
    if (!_setjmp(thread[threadIdx.x])) _longjmp(scheduler, 1);
}
static void run_thread() {
    for (;;) {
        __syncthreads();
        work();
        ended[threadIdx.x] = true;
    }
}
static void enter(unsigned t, const ucontext_t* begin) {
    threadIdx.x = t;
    if (_setjmp(scheduler)) return;
    if (begin) setcontext(begin);
    _longjmp(thread[t], 1);
}
static void run_together(void (*kernel)()) {
    static unsigned made = 0;
    static auto stacks = new char[1024][16384];
    work = kernel;
    for (; made < blockDim.x; made++) {
        ucontext_t begin;
        getcontext(&begin);
        begin.uc_stack.ss_sp = stacks[made];
        begin.uc_stack.ss_size = sizeof stacks[made];
        makecontext(&begin, run_thread, 0);
        enter(made, &begin);
    }
    memset(ended, 0, sizeof ended);
    for (bool some = true; some;) {
        some = false;
        for (unsigned t = 0; t < blockDim.x; t++)
            if (!ended[t]) enter(t, nullptr), some = true;
    }
}

// A kernel takes its parameters by value; a launch has the address of each.
template <class... P, size_t... I>
void call(void (*kernel)(P...), void** p, index_sequence<I...>) { kernel(*static_cast<remove_const_t<P>*>(p[I])...); }
template <class... P>
void call(void (*kernel)(P...), void** p) { call(kernel, p, make_index_sequence<sizeof...(P)>()); }
template <class... P>
unsigned sizes_of(void (*)(P...), size_t* sizes) {
    size_t found[] = {sizeof(P)...};
    memcpy(sizes, found, sizeof found);
    return sizeof...(P);
}
static void** parameters;
#define LAUNCH(kernel, run) \
    extern "C" unsigned sizes(size_t* found) { return sizes_of(kernel, found); } \
    extern "C" void launch(void** p, unsigned blocks, unsigned threads) { \
        parameters = p, gridDim.x = blocks, blockDim.x = threads; \
        for (blockIdx.x = 0; blockIdx.x < blocks; blockIdx.x++) run([] { call(kernel, parameters); }); \
    }

#include <cupy/carray.cuh>
