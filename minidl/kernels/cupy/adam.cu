// A step of Adam for many parameters at once: most are small, and a launch for each would take longer than its work.

constexpr int TENSORS = 64;

// Parameters, their gradients and running means, and the size of each. Blocks ends[i - 1] to ends[i] - 1 process tensor
// i. LAYOUT in adam.py must match.
template <typename T> struct Tensors {
    T *params[TENSORS], *ms[TENSORS], *vs[TENSORS];
    const T* grads[TENSORS];
    long long sizes[TENSORS];
    int ends[TENSORS];
};

// See ReferenceKernels.adam, which makes a dozen passes over the arrays. rest1 and rest2 are 1 - beta1 and 1 - beta2:
// computed in float32, these would have few correct digits.
template <typename T>
__global__ void adam(Tensors<T> tensors, T lr, T unbias, T beta1, T rest1, T beta2, T rest2, T eps, T keep) {
    int tensor = 0, first = 0;
    while (int(blockIdx.x) >= tensors.ends[tensor]) first = tensors.ends[tensor++];
    const long long i = (long long)(blockIdx.x - first) * blockDim.x + threadIdx.x;
    if (i >= tensors.sizes[tensor]) return;
    T &param = tensors.params[tensor][i], &m = tensors.ms[tensor][i], &v = tensors.vs[tensor][i];
    const T grad = tensors.grads[tensor][i];
    const T mean = beta1 * m + rest1 * grad;
    const T square = beta2 * v + rest2 * grad * grad;
    m = mean;
    v = square;
    param = keep * param - lr * mean / (sqrt(square) * unbias + eps);
}
