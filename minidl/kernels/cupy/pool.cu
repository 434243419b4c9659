// Max pooling of images (N, H, W, C), with bias and ReLU after it where they are wanted. One thread for each number of
// the result; blocks walk along the rows of it, so neighbouring threads read and write neighbouring numbers.
#include "window.cuh"

// y and the tap that held each maximum (not written where argmax is null). With a bias, y = relu(maximum + bias), which
// is the maximum of relu(x + bias): adding and ReLU keep the order.
template <typename T>
__global__ void max_pool(const T* x, const T* bias, T* y, unsigned char* argmax, Window window, int C) {
    const int n = blockIdx.x / window.OH, oh = blockIdx.x % window.OH;
    const int column = blockIdx.y * blockDim.x + threadIdx.x;
    if (column >= window.OW * C) return;
    const int ow = column / C, c = column % C;
    T best = T(__int_as_float(0xff800000));  // minus infinity, which is the padding too
    int tap = -1;  // none so far: the first that meets the image counts, also where it is minus infinity
    for (int kh = 0; kh < window.KH; ++kh) {
        const int h = oh * window.SH + kh - window.top;
        if (!inside(h, window.H)) continue;
        for (int kw = 0; kw < window.KW; ++kw) {
            const int w = ow * window.SW + kw - window.left;
            if (!inside(w, window.W)) continue;
            const T value = x[((size_t(n) * window.H + h) * window.W + w) * C + c];
            if (tap < 0 || wins(value, best)) {
                best = value;
                tap = kh * window.KW + kw;
            }
        }
    }
    const size_t at = size_t(blockIdx.x) * window.OW * C + column;
    y[at] = bias ? relu(best + bias[c]) : best;
    if (argmax) argmax[at] = tap;
}

// dx: every pixel adds up dy of the windows whose maximum it was.
template <typename T>
__global__ void max_pool_backward(const T* dy, const unsigned char* argmax, T* dx, Window window, int C) {
    gather(dx, window, C, [=](size_t row, int tap, int c) {
        const size_t at = row * C + c;
        return argmax[at] == tap ? dy[at] : T(0);
    });
}
