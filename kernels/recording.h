#pragma once
// Work of a device that was recorded (Backend::record): a step of kernels that the host starts with one call.

#include <functional>
#include <memory>

#include "mica/kernels/backend.h"

namespace mica {

/// The kernels that were recorded, with their operands: the same addresses in each replay. What is to differ from one
/// replay to the next lies in device memory that the kernels read. Memory that the work allocated stays the
/// recording's, also where the work freed it, and is given back with it; memory from before must outlive it.
class Recording {
 public:
  virtual ~Recording() = default;
  Recording() = default;
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;
  /// Puts the work on the queue once more.
  virtual void replay() = 0;
};

/// How work is recorded that is more than kernels on the same numbers.
struct RecordingTerms {
  /// An int64 in the device's memory: the work's random numbers are those of the seeds that it names XOR this one, as
  /// it is when they are drawn. Empty: those of the seeds.
  View seed;
  /// Copies from the host, which are refused else, bring the same bytes in each replay. For work in which the host
  /// knows nothing of what differs from replay to replay.
  bool repeats_uploads = false;
};

/// Backend::record() on these terms.
std::unique_ptr<Recording> record(Backend& on, const RecordingTerms& terms, const std::function<void()>& work);

/// In recorded work: random numbers from here on take this seed in place of RecordingTerms::seed. Elsewhere nothing.
void record_seed(const View& seed);

/// For backends: the terms of what this thread is recording; null: there are none.
const RecordingTerms* recording_terms();

}  // namespace mica
