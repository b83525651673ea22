// Weights on their way to the device while its first layers run.
//
// Bytes: each is read from the mapped file (from the disk, if nobody read it lately), written to pinned memory and sent
// over the bus, which is slower than the device's memory by a factor of a hundred. A plain copy of pageable memory does
// the three one after another and holds the caller; here a thread of the device's own reads pieces of the file into a
// ring of pinned buffers, and a stream of the device's own takes them from there: page faults, bus and the first
// kernels go on side by side, and opening a model returns at once.
//
// The order of work. Side stream: behind whatever used the block's memory before (an event of the device's stream, at
// start()), then the pieces, each with an event that says that its buffer is free again and its bytes are there. The
// device's stream: behind the event of a block's last piece, at settle(). An event that a buffer's next piece has
// taken over belongs to a piece that the thread has waited for, so that nobody needs to. Neither stream ever waits for
// something that is not on the other one yet, so that they cannot wait for each other.

#include <algorithm>
#include <cstring>
#include <string>
#include <thread>
#include <utility>

#include "mica/base/error.h"
#include "mica/base/readable.h"
#include "mica/kernels/cuda/runtime.h"
#include "mica/kernels/cuda/uploads.h"

namespace mica::cuda {
namespace {

constexpr int64_t kMostHeld = int64_t{256} << 20;  // of what waits in memory

}  // namespace

// At the first upload: streams, buffers and the thread, which lives as long as the program.
void CudaUploads::begin() {
  if (begun_) return;
  if (side_ == nullptr) side_ = make_side_stream();
  if (free_to_write_ == nullptr) free_to_write_ = make_event();
  for (Slot& slot : slots_) {
    if (slot.memory == nullptr) slot.memory = static_cast<std::byte*>(shared_allocate(kSlotBytes));
    if (slot.landed == nullptr) slot.landed = make_event();
  }
  std::thread([this] { work(); }).detach();
  begun_ = true;
}

void CudaUploads::start(Upload what) {
  std::unique_lock lock(mutex_);
  begin();
  const int64_t held = what.mapped ? 0 : what.bytes;
  if (held > 0) changed_.wait(lock, [&] { return held_ == 0 || held_ + held <= kMostHeld; });
  record_event(free_to_write_, stream_);
  wait_for_event(free_to_write_, side_);
  const uint64_t first = pieces_ + 1;
  pieces_ += static_cast<uint64_t>((what.bytes + kSlotBytes - 1) / kSlotBytes);
  numbers_.emplace(what.to, pieces_);
  unsettled_.emplace(pieces_, what.to);
  ++unsettled_uploads;
  held_ += held;
  waiting_.push_back({first, pieces_, std::move(what)});
  changed_.notify_all();
}

void CudaUploads::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return !waiting_.empty(); });
    Job job = std::move(waiting_.front());
    waiting_.pop_front();
    working_ = true;
    lock.unlock();
    std::exception_ptr failure;
    try {
      copy(job);
    } catch (...) {
      failure = std::current_exception();
    }
    job.what.source.reset();
    lock.lock();
    if (failure) {
      lost_.emplace(job.what.to, failure);
      numbers_.erase(job.what.to);
      unsettled_.erase(job.last);
    }
    if (!job.what.mapped) held_ -= job.what.bytes;
    sent_ = job.last;
    working_ = false;
    changed_.notify_all();
  }
}

void CudaUploads::copy(const Job& job) {
  set_device(index_);
  auto* to = static_cast<std::byte*>(job.what.to);
  const auto* from = static_cast<const std::byte*>(job.what.from);
  int64_t left = job.what.bytes;
  for (uint64_t piece = job.first; piece <= job.last; ++piece) {
    const int64_t bytes = std::min(left, kSlotBytes);
    Slot& slot = slots_[piece % kSlots];
    wait_for_event(slot.landed);
    if (!make_readable(from, bytes)) {
      throw Error("weights could not be read while they were copied to cuda:" + std::to_string(index_),
                  "loading weights", "their file became shorter, or its disk fails: fetch it again");
    }
    std::memcpy(slot.memory, from, static_cast<size_t>(bytes));
    copy_from_staging(to, slot.memory, bytes, side_);
    record_event(slot.landed, side_);
    to += bytes;
    from += bytes;
    left -= bytes;
    const std::scoped_lock lock(mutex_);
    slot.piece = piece;
  }
}

void CudaUploads::settle(const void* block) {
  std::unique_lock lock(mutex_);
  if (const auto lost = lost_.find(block); lost != lost_.end()) std::rethrow_exception(lost->second);
  const auto found = numbers_.find(block);
  if (found == numbers_.end()) return pass_over_landed();
  const uint64_t number = found->second;
  changed_.wait(lock, [&] { return sent_ >= number; });
  if (const auto lost = lost_.find(block); lost != lost_.end()) std::rethrow_exception(lost->second);
  const Slot& slot = slots_[number % kSlots];
  if (slot.piece == number) wait_for_event(slot.landed, stream_);
  erase_until(number);
}

void CudaUploads::settle_all() {
  std::unique_lock lock(mutex_);
  if (numbers_.empty()) return;
  changed_.wait(lock, [&] { return waiting_.empty() && !working_; });
  order_after_all();
  erase_until(pieces_);
}

void CudaUploads::forget(const void* block) noexcept {
  std::shared_ptr<const void> source;  // let go without the lock
  std::unique_lock lock(mutex_);
  if (lost_.erase(block) > 0) {
    --unsettled_uploads;
    order_after_all();  // its first pieces may be on their way
    return;
  }
  const auto found = numbers_.find(block);
  if (found == numbers_.end()) return;
  const uint64_t number = found->second;
  const auto job = std::lower_bound(waiting_.begin(), waiting_.end(), number,
                                    [](const Job& each, uint64_t last) { return each.last < last; });
  if (job != waiting_.end() && job->last == number) {
    if (!job->what.mapped) held_ -= job->what.bytes;
    source = std::move(job->what.source);
    waiting_.erase(job);
    changed_.notify_all();
  } else {
    changed_.wait(lock, [&] { return sent_ >= number; });
    order_after_all();
  }
  if (lost_.erase(block) + numbers_.erase(block) > 0) --unsettled_uploads;
  unsettled_.erase(number);
}

// Uploads that nobody asks for, those of parts that a task leaves out, are known to have ended at last, so that they do
// not cost each view a look.
void CudaUploads::pass_over_landed() {
  if (!waiting_.empty() || working_) return;
  for (const Slot& slot : slots_) {
    if (!event_is_done(slot.landed)) return;
  }
  erase_until(pieces_);
}

void CudaUploads::order_after_all() noexcept {
  try {
    for (const Slot& slot : slots_) {
      if (slot.piece != 0) wait_for_event(slot.landed, stream_);
    }
  } catch (const Error&) {
    // The device is lost: whatever comes next says so.
  }
}

// Of blocks up to this number nobody needs to ask again.
void CudaUploads::erase_until(uint64_t number) {
  const auto end = unsettled_.upper_bound(number);
  for (auto each = unsettled_.begin(); each != end; ++each) {
    numbers_.erase(each->second);
    --unsettled_uploads;
  }
  unsettled_.erase(unsettled_.begin(), end);
}

}  // namespace mica::cuda
