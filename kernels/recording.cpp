#include "mica/kernels/recording.h"

#include <utility>

namespace mica {
namespace {

thread_local RecordingTerms* current = nullptr;

}  // namespace

std::unique_ptr<Recording> record(Backend& on, const RecordingTerms& terms, const std::function<void()>& work) {
  struct Restore {
    RecordingTerms* outer;
    ~Restore() { current = outer; }
  };
  RecordingTerms own = terms;
  const Restore restore{std::exchange(current, &own)};
  return on.record(work);
}

void record_seed(const View& seed) {
  if (current != nullptr) current->seed = seed;
}

const RecordingTerms* recording_terms() {
  return current;
}

}  // namespace mica
