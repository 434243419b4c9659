// Elementwise kernels: one thread per element, every array is read or written once.

template <typename T> __global__ void relu_backward(const T* dy, const T* y, T* dx, long long size) {
    const long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < size) dx[i] = y[i] > T(0) ? dy[i] : T(0);
}
