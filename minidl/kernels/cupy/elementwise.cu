// Elementwise kernels: one thread for each element, every array read and written once.

template <typename T> __global__ void relu_backward(const T* dy, const T* y, T* dx, long long size) {
    const long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < size) dx[i] = y[i] > T(0) ? dy[i] : T(0);
}

// One step of Adam, as ReferenceKernels.adam defines it: there it takes a dozen passes over the arrays. rest1 and rest2
// are 1 - beta1 and 1 - beta2, of which a subtraction in float32 would leave few digits.
template <typename T>
__global__ void adam(T* param, const T* grad, T* m, T* v, T lr, T unbias, T beta1, T rest1, T beta2, T rest2, T eps,
                     T keep, long long size) {
    const long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= size) return;
    const T g = grad[i];
    const T mean = beta1 * m[i] + rest1 * g;
    const T square = beta2 * v[i] + rest2 * g * g;
    m[i] = mean;
    v[i] = square;
    param[i] = keep * param[i] - lr * mean / (sqrt(square) * unbias + eps);
}
