// Max pooling of images (N, H, W, C), optionally followed by bias and ReLU. One thread per element of the result;
// blocks follow its rows, so neighbouring threads read and write neighbouring elements.
#include "window.cuh"

// y and the tap that held each maximum (not written if argmax is null). With a bias, y = relu(maximum + bias), which is
// the maximum of relu(x + bias): addition and ReLU are monotonic.
template <typename T>
__global__ void max_pool(const T* x, const T* bias, T* y, unsigned char* argmax, Window window, int C) {
    const int n = blockIdx.x / window.OH, oh = blockIdx.x % window.OH;
    const int column = blockIdx.y * blockDim.x + threadIdx.x;
    if (column >= window.OW * C) return;
    const int ow = column / C, c = column % C;
    T best = T(__int_as_float(0xff800000));  // minus infinity, which is the padding too
    int tap = -1;  // none so far: the first tap on the image is taken, even if its value is minus infinity
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

// dx: every pixel accumulates dy of the windows whose maximum it held.
template <typename T>
__global__ void max_pool_backward(const T* dy, const unsigned char* argmax, T* dx, Window window, int C) {
    gather(dx, window, C, [=](size_t row, int tap, int c) {
        const size_t at = row * C + c;
        return argmax[at] == tap ? dy[at] : T(0);
    });
}
