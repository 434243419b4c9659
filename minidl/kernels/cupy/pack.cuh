// COUNT adjacent elements, read and written at once.
#ifndef MINIDL_PACK
#define MINIDL_PACK

template <typename T, int COUNT> struct alignas(sizeof(T) * COUNT) Pack {
    T numbers[COUNT];
};

template <int COUNT, typename T> __device__ inline Pack<T, COUNT> read_pack(const T* from) {
    return *reinterpret_cast<const Pack<T, COUNT>*>(from);
}

template <int COUNT, typename T> __device__ inline void write_pack(T* to, Pack<T, COUNT> pack) {
    *reinterpret_cast<Pack<T, COUNT>*>(to) = pack;
}

#endif
