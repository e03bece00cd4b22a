// Code that runs on the host and on the device alike. A kernel's work for one
// thread is such a function, so that a host compiler compiles it and a host
// test runs it for every thread of a launch.
#ifndef TACIT_GPU_BASE_HOST_DEVICE_H_
#define TACIT_GPU_BASE_HOST_DEVICE_H_

#ifdef __CUDACC__
#define TACIT_HOST_DEVICE __host__ __device__
#define TACIT_DEVICE_INLINE __host__ __device__ __forceinline__
#define TACIT_UNROLL _Pragma("unroll")
#else
#define TACIT_HOST_DEVICE
#define TACIT_DEVICE_INLINE inline
#define TACIT_UNROLL
#endif

#endif  // TACIT_GPU_BASE_HOST_DEVICE_H_
