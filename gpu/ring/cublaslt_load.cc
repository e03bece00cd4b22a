#include <dlfcn.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "gpu/ring/cublaslt_abi.h"

namespace tacit::gpu::lt {
namespace {

std::vector<std::string> LibraryNames() {
  if (const char* name = std::getenv("TACIT_CUBLASLT"); name != nullptr) {
    return {name};
  }
  std::vector<std::string> names;
  for (const char* folder : {"", "/usr/local/cuda/lib64/"}) {
    for (const char* file : {"libcublasLt.so.13", "libcublasLt.so.12"}) {
      names.push_back(std::string(folder) + file);
    }
  }
  return names;
}

// The library, or null and what the loader said. Stays loaded.
void* OpenLibrary(std::string& tried) {
  for (const std::string& name : LibraryNames()) {
    if (void* library = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL)) {
      return library;
    }
    tried += (tried.empty() ? "" : "; ") + std::string(dlerror());
  }
  return nullptr;
}

template <typename Function>
bool Find(void* library, const char* name, Function*& function) {
  function = reinterpret_cast<Function*>(
      dlsym(library, (std::string("cublasLt") + name).c_str()));
  return function != nullptr;
}

bool FindAll(void* library, Functions& f) {
  return Find(library, "Create", f.Create) &&
         Find(library, "Destroy", f.Destroy) &&
         Find(library, "GetStatusString", f.GetStatusString) &&
         Find(library, "MatmulDescCreate", f.MatmulDescCreate) &&
         Find(library, "MatmulDescDestroy", f.MatmulDescDestroy) &&
         Find(library, "MatmulDescSetAttribute", f.MatmulDescSetAttribute) &&
         Find(library, "MatrixLayoutCreate", f.MatrixLayoutCreate) &&
         Find(library, "MatrixLayoutDestroy", f.MatrixLayoutDestroy) &&
         Find(library, "MatrixLayoutSetAttribute",
              f.MatrixLayoutSetAttribute) &&
         Find(library, "MatmulPreferenceCreate", f.MatmulPreferenceCreate) &&
         Find(library, "MatmulPreferenceDestroy", f.MatmulPreferenceDestroy) &&
         Find(library, "MatmulPreferenceSetAttribute",
              f.MatmulPreferenceSetAttribute) &&
         Find(library, "MatmulAlgoGetHeuristic", f.MatmulAlgoGetHeuristic) &&
         Find(library, "Matmul", f.Matmul);
}

}  // namespace

Result<Functions> Load() {
  std::string tried;
  void* library = OpenLibrary(tried);
  if (library == nullptr) {
    return Error(Code::kUnavailable,
                 "cuBLASLt cannot be loaded (" + tried +
                     "); install it, or set TACIT_CUBLASLT to its file");
  }
  Functions functions;
  if (!FindAll(library, functions)) {
    return Error(Code::kUnavailable,
                 "the cuBLASLt that was found lacks a function (" +
                     std::string(dlerror()) +
                     "); CUDA 12.4 or later is needed");
  }
  return functions;
}

}  // namespace tacit::gpu::lt
