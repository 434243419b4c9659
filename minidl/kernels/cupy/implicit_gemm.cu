// Convolution with stride 1 as a matrix product whose left matrix, the windows of the images, is never stored: a block
// gathers the part that it multiplies from the images themselves. Chetlur et al., "cuDNN: Efficient Primitives for Deep
// Learning" (2014). All arrays are read and written four or two elements at a time: C and K are multiples of 4.
//
// Max pooling is always by 2 x 2 pixels here. Its cotangent dy has the pooled size, with one byte per element for the
// pixel, of the four, that it belongs to; the unpooled array, which is mostly zeros, is never stored.
#include "tile.cuh"
#include "window.cuh"

// A pixel of image n.
struct Pixel {
    int n, h, w;
};

// The order of the output pixels: row by row, or by groups of eight pooling windows, first the first pixel of each
// window, then the second, and so on. A thread holds every eighth row of a tile, so it has all four pixels of a window.
template <bool POOLED> struct Outputs {
    int N, H, W;

    __device__ int windows() const { return N * (H / 2) * (W / 2); }
    __device__ int count() const { return POOLED ? (windows() + 7) / 8 * 32 : N * H * W; }
    __device__ static int window(int number) { return number / 32 * 8 + number % 8; }
    __device__ static int tap(int number) { return number % 32 / 8; }
    __device__ bool has(int number) const { return POOLED ? window(number) < windows() : number < N * H * W; }

    __device__ Pixel at(int number) const {
        if (!POOLED) return {number / W / H, number / W % H, number % W};
        const int at = window(number), row = at / (W / 2);
        return {row / (H / 2), row % (H / 2) * 2 + tap(number) / 2, at % (W / 2) * 2 + tap(number) % 2};
    }
};

// Images (N, H, W, C), zero outside. With UNPOOL they are stored as (N, H / 2, W / 2, C), with the position of each
// element among its four pixels.
template <typename T, bool UNPOOL> struct Images {
    const T* numbers;
    const unsigned char* taps;
    int H, W, C;

    __device__ Pack<T, 4> read(int n, int h, int w, int c) const {
        Pack<T, 4> pack = {};
        if (!inside(h, H) || !inside(w, W)) return pack;
        if constexpr (!UNPOOL) return read_pack<4>(numbers + ((size_t(n) * H + h) * W + w) * C + c);
        if (h / 2 < H / 2 && w / 2 < W / 2) {
            const size_t at = ((size_t(n) * (H / 2) + h / 2) * (W / 2) + w / 2) * C + c;
            const Pack<unsigned char, 4> here = read_pack<4>(taps + at);
            pack = read_pack<4>(numbers + at);
            for (int i = 0; i < 4; ++i)
                if (here.numbers[i] != h % 2 * 2 + w % 2) pack.numbers[i] = 0;
        }
        return pack;
    }
};

// A row of the matrix of weights (KH KW C, K).
struct Tap {
    int kh, kw, c;

    __device__ static Tap at(int number, int KW, int C) { return {number / C / KW, number / C % KW, number % C}; }
    __device__ void advance(int by, int KW, int C) {  // a few subtractions are faster than divisions
        for (c += by; c >= C; c -= C) {
            if (++kw == KW) {
                kw = 0;
                ++kh;
            }
        }
    }
};

// Left matrix of a convolution: one row per output pixel, with the pixels of its window.
template <typename T, bool POOLED, bool UNPOOL> struct Windows {
    Images<T, UNPOOL> images;
    Window window;
    Carrier<T, TILE_ROWS, tile_depth<T>> carrier;
    Pixel corners[Carrier<T, TILE_ROWS, tile_depth<T>>::COUNT];
    Tap tap;

    __device__ Windows(Images<T, UNPOOL> images, Outputs<POOLED> outputs, Window window, int first)
        : images(images), window(window), tap(Tap::at(carrier.position(), window.KW, images.C)) {
#pragma unroll
        for (int i = 0; i < carrier.COUNT; ++i) {
            const int number = first + carrier.line(i);
            corners[i] = outputs.at(number);
            corners[i].h = outputs.has(number) ? corners[i].h - window.top : -window.KH - images.H;  // outside
            corners[i].w -= window.left;
        }
    }

    __device__ void fetch() {
#pragma unroll
        for (int i = 0; i < carrier.COUNT; ++i) {
            const Pixel corner = corners[i];
            carrier.packs[i] = tap.kh < window.KH
                                   ? images.read(corner.n, corner.h + tap.kh, corner.w + tap.kw, tap.c)
                                   : Pack<T, 4>{};
        }
        tap.advance(tile_depth<T>, window.KW, images.C);
    }
};

// Left matrix of dw: the left matrix of the convolution, transposed. A thread reads one tap only.
template <typename T, bool POOLED> struct WindowsTransposed {
    Images<T, false> images;
    Outputs<POOLED> outputs;
    Window window;
    Tap tap;
    int next, end;
    Carrier<T, tile_depth<T>, TILE_ROWS> carrier;

    __device__ WindowsTransposed(Images<T, false> images, Outputs<POOLED> outputs, Window window, int row, int first,
                                 int end)
        : images(images), outputs(outputs), window(window),
          tap(Tap::at(row + carrier.position(), window.KW, images.C)), next(first), end(end) {}

    __device__ void fetch() {
#pragma unroll
        for (int i = 0; i < carrier.COUNT; ++i) {
            const int number = next + carrier.line(i);
            carrier.packs[i] = {};
            if (number >= end || !outputs.has(number) || tap.kh >= window.KH) continue;
            const Pixel pixel = outputs.at(number);
            carrier.packs[i] =
                images.read(pixel.n, pixel.h + tap.kh - window.top, pixel.w + tap.kw - window.left, tap.c);
        }
        next += tile_depth<T>;
    }
};

// Right matrix: rows next ... end - 1 of numbers (..., K). With UNPOOL the rows are pixels in the order of Outputs, and
// memory holds the cotangent of the pooled output.
template <typename T, bool UNPOOL> struct Rows {
    const T* numbers;
    const unsigned char* taps;
    int K, column, next, end, windows;
    Carrier<T, tile_depth<T>, TILE_COLUMNS> carrier;

    __device__ Rows(const T* numbers, const unsigned char* taps, int K, int column, int first, int end, int windows)
        : numbers(numbers), taps(taps), K(K), column(column + carrier.position()), next(first), end(end),
          windows(windows) {}

    __device__ void fetch() {
#pragma unroll
        for (int i = 0; i < carrier.COUNT; ++i) carrier.packs[i] = row(next + carrier.line(i));
        next += tile_depth<T>;
    }

    __device__ Pack<T, 4> row(int number) const {
        if (number >= end || column >= K) return {};
        if constexpr (!UNPOOL) return read_pack<4>(numbers + size_t(number) * K + column);
        const int window = Outputs<true>::window(number), tap = Outputs<true>::tap(number);
        if (window >= windows) return {};
        const size_t at = size_t(window) * K + column;
        Pack<T, 4> pack = read_pack<4>(numbers + at);
        const Pack<unsigned char, 4> here = read_pack<4>(taps + at);
        for (int j = 0; j < 4; ++j)
            if (here.numbers[j] != tap) pack.numbers[j] = 0;
        return pack;
    }
};

// y = the convolution of x (N, H, W, C) with w (KH, KW, C, K), plus bias if it is not null. POOLED: y = relu(max pool +
// bias), and argmax is the pixel, of the four, that held each maximum (not written if null). UNPOOL: x is the cotangent
// of a max pooling, and x_taps its argmax; with rotated weights, this convolution computes dx.
template <typename T, bool TF32, bool POOLED, bool UNPOOL>
__global__ void __launch_bounds__(256) convolve(const T* x, const unsigned char* x_taps, const T* w, const T* bias, T* y,
                                                unsigned char* argmax, Window window, int N, int C, int K) {
    const int column_tiles = (K + TILE_COLUMNS - 1) / TILE_COLUMNS;  // neighbouring blocks read the same pixels
    const int first_row = blockIdx.x / column_tiles * TILE_ROWS, first = blockIdx.x % column_tiles * TILE_COLUMNS;
    const int depth = window.KH * window.KW * C, steps = (depth + tile_depth<T> - 1) / tile_depth<T>;
    const Outputs<POOLED> outputs = {N, window.OH, window.OW};
    Windows<T, POOLED, UNPOOL> windows({x, x_taps, window.H, window.W, C}, outputs, window, first_row);
    Rows<T, false> weights(w, nullptr, K, first, 0, depth, 0);
    Sums<T> sums = {};
    multiply<TF32, AlongDepth<T>>(windows, weights, steps, sums);

    const Place place = place_in_tile();
#pragma unroll
    for (int j = 0; j < 4; ++j) {
        const int column = first + place.column + 8 * j;
        if (column >= K) continue;
        const Pack<T, 2> b = bias ? read_pack<2>(bias + column) : Pack<T, 2>{};
        if constexpr (POOLED) {
            const int at = outputs.window(first_row + place.row);
            if (!outputs.has(first_row + place.row)) continue;
            Pack<T, 2> maxima;
            Pack<unsigned char, 2> taps = {};
#pragma unroll
            for (int e = 0; e < 2; ++e) {
                T best = sums[0][j][e];
#pragma unroll
                for (int tap = 1; tap < 4; ++tap) {
                    if (wins(sums[tap][j][e], best)) {
                        best = sums[tap][j][e];
                        taps.numbers[e] = tap;
                    }
                }
                maxima.numbers[e] = relu(best + b.numbers[e]);
            }
            write_pack(y + size_t(at) * K + column, maxima);
            if (argmax) write_pack(argmax + size_t(at) * K + column, taps);
        } else {
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                const int row = first_row + place.row + 8 * i;
                const Pack<T, 2> pair = {sums[i][j][0] + b.numbers[0], sums[i][j][1] + b.numbers[1]};
                if (outputs.has(row)) write_pack(y + size_t(row) * K + column, pair);
            }
        }
    }
}

// dw as partial sums (parts, KH KW C, K), each over some pixels of the output.
// UNPOOL: dy is the cotangent of a max pooling, and taps is its argmax.
template <typename T, bool TF32, bool UNPOOL>
__global__ void __launch_bounds__(256) correlate(const T* x, const T* dy, const unsigned char* taps, T* parts,
                                                 Window window, int N, int C, int K) {
    const int column_tiles = (K + TILE_COLUMNS - 1) / TILE_COLUMNS, rows = window.KH * window.KW * C;
    const int first_row = blockIdx.x / column_tiles * TILE_ROWS, first = blockIdx.x % column_tiles * TILE_COLUMNS;
    const Outputs<UNPOOL> outputs = {N, window.OH, window.OW};
    const long long count = outputs.count();
    const int start = count * blockIdx.y / gridDim.y, end = count * (blockIdx.y + 1) / gridDim.y;
    WindowsTransposed<T, UNPOOL> windows({x, nullptr, window.H, window.W, C}, outputs, window, first_row, start, end);
    Rows<T, UNPOOL> gradients(dy, taps, K, first, start, end, outputs.windows());
    Sums<T> sums = {};
    multiply<TF32, AlongRows<T>>(windows, gradients, (end - start + tile_depth<T> - 1) / tile_depth<T>, sums);
    write_tile(parts + size_t(blockIdx.y) * rows * K, sums, first_row, first, rows, K);
}
