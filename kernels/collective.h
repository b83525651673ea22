#pragma once
// Sums and copies between the devices of several processes, from device to device.

#include "mica/kernels/view.h"

namespace mica {

/// One process's end of a group, one device each (Backend::join_group makes it). All must call the same functions in
/// the same order, with operands of the same size and dtype; contiguous, in the device's memory. A call puts work on
/// the device's queue. Its errors, and those of work that went before, are thrown as Error; a process that is lost is
/// waited for, until abort().
class Collective {
 public:
  virtual ~Collective() = default;
  /// Sums over the processes, in place, of float32, float64, int64, float16 or bfloat16; the same bits on every one.
  virtual void all_reduce(const View& values) = 0;
  /// The same, beside the queue's work: behind what is on the queue now, before what is put there after join(). Nobody
  /// may use the values in between.
  virtual void begin_all_reduce(const View& values) = 0;
  /// What is put on the queue from here on comes after the sums that were begun.
  virtual void join() = 0;
  /// `all` gets `mine` of every process, rank by rank; of any dtype.
  virtual void all_gather(const View& mine, const View& all) = 0;
  /// Everyone gets the values that `root` has; of any dtype.
  virtual void broadcast(const View& values, int root) = 0;
  /// Gives the group up, from any thread: what waits for it, here, goes on, and every later call throws.
  virtual void abort() noexcept = 0;
};

}  // namespace mica
