// Losses and their gradients, each in one pass over its arrays. A loss of many elements is a mean in parts, one per
// block; a second launch adds the parts in a fixed order, so the result is deterministic.
//
// The loss of an element, and its derivative with respect to a, have the same names as in minidl/ops/loss.py. delta is
// the parameter of HuberLoss.
#include "sums.cuh"

struct BinaryCrossEntropyWithLogits {
    template <typename T> __device__ static T value(T x, T t, T) {
        return (x > T(0) ? x : T(0)) - x * t + log1p(exp(-fabs(x)));
    }
    template <typename T> __device__ static T slope(T x, T t, T) {
        const T e = exp(-fabs(x));
        return (x >= T(0) ? T(1) : e) / (1 + e) - t;
    }
};

struct L1Loss {
    template <typename T> __device__ static T value(T a, T b, T) { return fabs(a - b); }
    template <typename T> __device__ static T slope(T a, T b, T) {
        const T difference = a - b;
        return difference != difference ? difference : T(difference > T(0)) - T(difference < T(0));
    }
};

struct MSELoss {
    template <typename T> __device__ static T value(T a, T b, T) { return (a - b) * (a - b); }
    template <typename T> __device__ static T slope(T a, T b, T) { return 2 * (a - b); }
};

struct HuberLoss {
    template <typename T> __device__ static T value(T a, T b, T delta) {
        const T size = fabs(a - b), near = size < delta ? size : delta;
        return near * (size - near / 2);
    }
    template <typename T> __device__ static T slope(T a, T b, T delta) {
        const T difference = a - b;
        return difference < -delta ? -delta : difference > delta ? delta : difference;
    }
};

// The mean over all elements, in parts.
template <typename T, typename Loss>
__global__ void mean_loss(const T* a, const T* b, T* parts, T delta, long long size) {
    const long long step = (long long)gridDim.x * LANES * GROUPS;
    T sum = 0;
    for (long long i = number_of_thread(); i < size; i += step) sum += Loss::value(a[i], b[i], delta);
    sum = sum_over_block(sum);
    if (threadIdx.x + threadIdx.y == 0) parts[blockIdx.x] = sum / T(size);
}

// The gradient with respect to a. dy is a scalar, as everywhere here.
template <typename T, typename Loss>
__global__ void mean_loss_backward(const T* a, const T* b, const T* dy, T* da, T delta, long long size) {
    const long long i = number_of_thread();
    if (i < size) da[i] = Loss::slope(a[i], b[i], delta) * (dy[0] / T(size));
}

// The loss, from its parts, in one block.
template <typename T> __global__ void add_up(const T* parts, T* loss, int count) {
    T sum = 0;
    for (int i = number_of_thread(); i < count; i += LANES * GROUPS) sum += parts[i];
    sum = sum_over_block(sum);
    if (threadIdx.x + threadIdx.y == 0) loss[0] = sum;
}

// The mean of -log softmax(logits)[label], for logits (rows, classes), in parts; also the maximum of each row and the
// logarithm of its sum, from which the softmax is recomputed. 32 threads process a row, and a block 8 rows at a time.
template <typename T>
__global__ void softmax_cross_entropy(const T* logits, const long long* labels, T* maxima, T* log_sums, T* parts,
                                      long long rows, long long classes) {
    T loss = 0;
    for (long long first = (long long)blockIdx.x * GROUPS; first < rows; first += (long long)gridDim.x * GROUPS) {
        const long long row = first + threadIdx.y, end = row < rows ? classes : 0;
        const T* x = logits + row * classes;
        T largest = T(__int_as_float(0xff800000));  // minus infinity; NaN is ignored here, but not in the sum
        for (long long c = threadIdx.x; c < end; c += LANES) largest = x[c] > largest ? x[c] : largest;
        largest = largest_of_lanes(largest);
        T sum = 0;
        for (long long c = threadIdx.x; c < end; c += LANES) sum += exp(x[c] - largest);
        sum = sum_over_lanes(sum);
        if (row < rows && threadIdx.x == 0) {
            const long long label = labels[row];
            const T log_sum = log(sum);
            maxima[row] = largest;
            log_sums[row] = log_sum;
            if (label >= 0 && label < classes) loss -= x[label] - largest - log_sum;
        }
    }
    loss = sum_over_block(loss);
    if (threadIdx.x + threadIdx.y == 0) parts[blockIdx.x] = loss / T(rows);
}

// The gradient with respect to the logits.
template <typename T>
__global__ void softmax_cross_entropy_backward(const T* logits, const long long* labels, const T* maxima,
                                               const T* log_sums, const T* dy, T* dx, long long rows,
                                               long long classes) {
    const long long row = (long long)blockIdx.x * GROUPS + threadIdx.y;
    if (row >= rows) return;
    for (long long c = threadIdx.x; c < classes; c += LANES) {
        const T softmax = exp(logits[row * classes + c] - maxima[row] - log_sums[row]);
        dx[row * classes + c] = (softmax - T(c == labels[row])) * (dy[0] / T(rows));
    }
}
