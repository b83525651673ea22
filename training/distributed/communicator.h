#pragma once
// Communicator: how the processes that train one model together talk to each other.

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "mica/base/error.h"
#include "mica/tensor/tensor.h"

namespace mica {

/// A failure that every process of the group knows of and throws: that of the lowest rank that failed.
class GroupError : public Error {
 public:
  GroupError(const Error& error, int failed_rank) : Error(error), failed_rank_(failed_rank) {}
  int failed_rank() const { return failed_rank_; }

 private:
  int failed_rank_;
};

/// A group of processes with the ranks 0 to size - 1. All of them must call the same functions in the same order, each
/// from one thread at a time. Tensors are contiguous, float32, float64, int64 or uint8, of the same shape everywhere,
/// on devices that supports() names (sums on a GPU also of float16 and bfloat16).
///
/// Every function throws Error when a process of the group is lost or has failed, on all that are left: none waits for
/// ever. (With tensors on a GPU it is the device that waits for a process that is lost, and the launcher that ends the
/// job.) Afterwards the group is of no use any more.
class Communicator {
 public:
  virtual ~Communicator();
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  virtual int rank() const = 0;
  virtual int size() const = 0;
  virtual bool supports(Device device) const = 0;

  /// Sums over the processes, in place; the same bits on every one.
  virtual void all_reduce(const Tensor& values) = 0;
  /// The same, but a device may go on with other work meanwhile: nobody may use the values before join(), which is told
  /// of all sums that were begun. (Where nothing goes on beside them they are summed at once.)
  virtual void begin_all_reduce(const Tensor& values) { all_reduce(values); }
  /// What comes from here on finds the sums that were begun; the host does not wait for those on a device.
  virtual void join() {}
  /// `all`, [size, ...], gets `mine` of every process.
  virtual void all_gather(const Tensor& mine, const Tensor& all) = 0;
  /// Everyone gets the values that `root` has.
  virtual void broadcast(const Tensor& values, int root) = 0;
  /// Returns once all have come here.
  virtual void barrier() = 0;

  /// Says that this process cannot go on with the others, whose functions throw from now on (over MPI: the job ends as
  /// soon as this communicator goes).
  virtual void fail(const std::string& reason) noexcept = 0;

 protected:
  Communicator() = default;
};

/// The group's ends for `size` threads of this process, rank by rank: for tests, and for trying things out. One that is
/// destroyed counts as lost.
std::vector<std::shared_ptr<Communicator>> thread_communicators(int size);

// What is made of them. A null communicator stands for this process alone.

inline int rank_of(const std::shared_ptr<Communicator>& group) {
  return group == nullptr ? 0 : group->rank();
}
inline int size_of(const std::shared_ptr<Communicator>& group) {
  return group == nullptr ? 1 : group->size();
}

/// Runs `part`, which calls nothing of the group, and waits for the others' parts. Throws GroupError everywhere where
/// one of them threw, whatever that was.
void together(const std::shared_ptr<Communicator>& group, const std::function<void()>& part);
/// The same for a failure that is at hand already; null where there is none.
void agree(const std::shared_ptr<Communicator>& group, const std::exception_ptr& failure);

/// The text that rank 0 has, on every process.
std::string broadcast_text(const std::shared_ptr<Communicator>& group, const std::string& text);

}  // namespace mica
