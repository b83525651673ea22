#include "mica/kernels/recording.h"

#include <utility>

namespace mica {
namespace {

thread_local const RecordingTerms* current = nullptr;

}  // namespace

std::unique_ptr<Recording> record(Backend& on, const RecordingTerms& terms, const std::function<void()>& work) {
  struct Restore {
    const RecordingTerms* outer;
    ~Restore() { current = outer; }
  } const restore{std::exchange(current, &terms)};
  return on.record(work);
}

const RecordingTerms* recording_terms() {
  return current;
}

}  // namespace mica
