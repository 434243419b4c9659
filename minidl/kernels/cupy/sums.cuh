// Sums in a block of 32 x 8 threads: LANES columns, and GROUPS threads per column that share its rows. Each group is a
// warp.
#ifndef MINIDL_SUMS
#define MINIDL_SUMS

constexpr int LANES = 32, GROUPS = 8;

__device__ inline long long number_of_thread() {
    return ((long long)blockIdx.x * GROUPS + threadIdx.y) * LANES + threadIdx.x;
}

// The sum over the groups, in order, for the threads of group 0. All threads of the block must call it.
template <typename T> __device__ inline T sum_over_groups(T sum) {
    __shared__ T sums[GROUPS][LANES];
    sums[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y == 0)
        for (int group = 1; group < GROUPS; ++group) sum += sums[group][threadIdx.x];
    __syncthreads();  // before the next call writes to sums
    return sum;
}

// The sum and the maximum over the lanes of a group, for each lane.
template <typename T> __device__ inline T sum_over_lanes(T sum) {
    for (int distance = LANES / 2; distance > 0; distance /= 2) sum += __shfl_xor_sync(0xffffffff, sum, distance);
    return sum;
}

template <typename T> __device__ inline T largest_of_lanes(T largest) {
    for (int distance = LANES / 2; distance > 0; distance /= 2) {
        const T other = __shfl_xor_sync(0xffffffff, largest, distance);
        largest = other > largest ? other : largest;
    }
    return largest;
}

// The sum over all threads of a block, for the first of them. All must call it.
template <typename T> __device__ inline T sum_over_block(T sum) { return sum_over_lanes(sum_over_groups(sum)); }

#endif
