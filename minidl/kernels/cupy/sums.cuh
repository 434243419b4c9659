// Sums in a block of 32 x 8 threads: so many columns side by side, and groups of threads that share the rows of each.
#ifndef MINIDL_SUMS
#define MINIDL_SUMS

constexpr int LANES = 32, GROUPS = 8;

// The sum over the groups, one after another, for the threads of group 0. All threads of the block must call it.
template <typename T> __device__ inline T sum_over_groups(T sum) {
    __shared__ T sums[GROUPS][LANES];
    sums[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y == 0)
        for (int group = 1; group < GROUPS; ++group) sum += sums[group][threadIdx.x];
    __syncthreads();  // before the next call writes to sums
    return sum;
}

#endif
