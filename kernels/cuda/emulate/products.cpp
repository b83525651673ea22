#include "mica/kernels/cuda/emulate/products.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <map>
#include <utility>
#include <vector>

#include "mica/kernels/cuda/emulate/bulk_copy.h"
#include "mica/kernels/cuda/runtime.h"

namespace mica::cuda::emulate {
namespace {

constexpr unsigned kLanes = 32, kMostN = 256, kDepth = 16;

// Sums that products add to: the lanes' registers, and what they will hold.
struct Sums {
  std::array<float*, kLanes> registers{};
  unsigned count = 0;
  std::vector<float> values;  // [lane][count]
  unsigned under_way = 0;     // products not waited for
};

struct Started {
  Product product{};
  Line line{};
  unsigned warp = 0;  // of its warpgroup
  float a[16][kDepth]{};
  bool a_in_registers = false, done = false;
  std::shared_ptr<Sums> sums;
};

struct Warp {
  bool fenced = false;
  size_t count = 0;  // of products started
  std::vector<Started> open;
  std::deque<std::vector<Started>> groups;
  std::vector<std::shared_ptr<Sums>> sums;
};

// What all four warps of a warpgroup must start alike.
struct Issued {
  Line line;
  uint64_t b_matrix;
  unsigned n;
};

struct Products final : BlockState {
  std::map<unsigned, Warp> warps;
  std::map<unsigned, std::vector<Issued>> issued;  // by warpgroup
  std::map<unsigned, unsigned> registers;          // by warpgroup
  const char* unfinished() const override {
    for (const auto& [rank, warp] : warps) {
      if (!warp.open.empty()) return "matrix products that nobody committed";
      if (!warp.groups.empty()) return "matrix products that nobody waited for";
    }
    return nullptr;
  }
};

Products& products() {
  auto& state = block_state();
  if (state == nullptr) state = std::make_unique<Products>();
  return static_cast<Products&>(*state);
}

Warp& this_warp() {
  return products().warps[thread_rank() / kLanes];
}

// A matrix in shared memory by its descriptor, with the 128-byte swizzle.
class Matrix {
 public:
  Matrix(uint64_t bits, bool transposed, Line line) : transposed_(transposed), line_(line) {
    start_ = static_cast<int64_t>(bits & 0x3fff) << 4;
    leading_ = static_cast<int64_t>(bits >> 16 & 0x3fff) << 4;
    stride_ = static_cast<int64_t>(bits >> 32 & 0x3fff) << 4;
    if (bits >> 62 != 1) fault("a matrix descriptor without the 128-byte swizzle is not emulated", line);
    if ((bits >> 49 & 7) != 0) fault("a matrix descriptor with a base offset is not emulated", line);
  }
  // Elements (row, depth) for 8 depths, or transposed for 8 rows.
  void eight(unsigned row, unsigned depth, uint16_t* out) const {
    int64_t at = start_;
    if (transposed_) {
      at += row / 64 * leading_ + depth / 8 * stride_ + depth % 8 * 128 + row % 64 * 2;
    } else {
      at += row / 8 * stride_ + row % 8 * 128 + depth * 2;
    }
    const std::byte* from = shared_memory() + swizzled_128(at);
    check_shared(from, 16, 16, "a matrix product", line_);
    check_landed(from, 16, "a matrix product", line_);
    std::memcpy(out, from, 16);
  }
  // Rows [first, first + count) by columns of out: out(row, depth).
  template <typename Put>
  void read(unsigned first, unsigned count, const Put& put) const {
    uint16_t eight_of[8];
    if (transposed_) {
      for (unsigned depth = 0; depth < kDepth; ++depth) {
        for (unsigned row = 0; row < count; row += 8) {
          eight(first + row, depth, eight_of);
          for (unsigned i = 0; i < 8; ++i) put(row + i, depth, eight_of[i]);
        }
      }
      return;
    }
    for (unsigned row = 0; row < count; ++row) {
      for (unsigned depth = 0; depth < kDepth; depth += 8) {
        eight(first + row, depth, eight_of);
        for (unsigned i = 0; i < 8; ++i) put(row, depth + i, eight_of[i]);
      }
    }
  }

 private:
  int64_t start_, leading_, stride_;
  bool transposed_;
  Line line_;
};

// Where lane and register lie in the warp's 16 rows: as the fragments of mma.sync, for every 8 columns.
unsigned row_of(unsigned lane, unsigned i) {
  return lane / 4 + i / 2 % 2 * 8;
}
unsigned column_of(unsigned lane, unsigned i) {
  return i / 4 * 8 + lane % 4 * 2 + i % 2;
}

// The unit multiplies exactly and adds in float32; its order of addition is not specified.
void compute(Started& s) {
  if (std::exchange(s.done, true)) return;
  const Product& p = s.product;
  if (!s.a_in_registers) {
    Matrix(p.a_matrix, p.a_transposed, s.line).read(16 * s.warp, 16, [&](unsigned row, unsigned depth, uint16_t bits) {
      s.a[row][depth] = p.widen(bits);
    });
  }
  static thread_local float b[kDepth][kMostN], sums[16][kMostN];
  Matrix(p.b_matrix, p.b_transposed, s.line).read(0, p.n, [&](unsigned row, unsigned depth, uint16_t bits) {
    b[depth][row] = p.widen(bits);
  });
  for (unsigned lane = 0; lane < kLanes; ++lane) {
    for (unsigned i = 0; i < s.sums->count; ++i) {
      sums[row_of(lane, i)][column_of(lane, i)] = p.add ? s.sums->values[lane * s.sums->count + i] : 0.0F;
    }
  }
  for (unsigned row = 0; row < 16; ++row) {
    for (unsigned depth = 0; depth < kDepth; ++depth) {
      const float factor = s.a[row][depth];
      for (unsigned n = 0; n < p.n; ++n) sums[row][n] += factor * b[depth][n];
    }
  }
  for (unsigned lane = 0; lane < kLanes; ++lane) {
    for (unsigned i = 0; i < s.sums->count; ++i) {
      s.sums->values[lane * s.sums->count + i] = sums[row_of(lane, i)][column_of(lane, i)];
    }
  }
}

struct Member {
  const Product* product;
  Line line;
};

// The sums that these registers are, when products add to them already.
std::shared_ptr<Sums> sums_of(Warp& warp, void* const* members, const Product& first, Line line) {
  const unsigned count = first.n / 2;
  for (const auto& each : warp.sums) {
    const float* begin = each->registers[0];
    if (begin == first.sums && each->count == count) return each;
    if (begin < first.sums + count && first.sums < begin + each->count) {
      fault("a matrix product adds to a part of the registers of another that is under way", line);
    }
  }
  if (!warp.fenced) fault("a matrix product without a fence before it: the registers may not be there yet", line);
  auto made = std::make_shared<Sums>();
  made->count = count;
  made->values.resize(size_t{kLanes} * count);
  for (unsigned lane = 0; lane < kLanes; ++lane) {
    made->registers[lane] = static_cast<const Member*>(members[lane])->product->sums;
    std::copy_n(made->registers[lane], count, made->values.begin() + lane * count);
    std::memset(made->registers[lane], 0xff, count * sizeof(float));
  }
  warp.sums.push_back(made);
  return made;
}

void start(void* const* members, unsigned /*count*/) {
  const auto& first = *static_cast<const Member*>(members[0]);
  const Product& p = *first.product;
  for (unsigned lane = 1; lane < kLanes; ++lane) {
    const Product& other = *static_cast<const Member*>(members[lane])->product;
    if (other.a_matrix != p.a_matrix || other.b_matrix != p.b_matrix || other.add != p.add) {
      fault("lanes give a matrix product different descriptors", first.line);
    }
  }
  Warp& warp = this_warp();
  auto& issued = products().issued[thread_rank() / 128];
  if (warp.count == issued.size()) {
    issued.push_back({first.line, p.b_matrix, p.n});
  } else if (const Issued& other = issued[warp.count];
             other.b_matrix != p.b_matrix || other.n != p.n || other.line.number != first.line.number) {
    fault("the warps of a warpgroup start different matrix products", first.line);
  }
  ++warp.count;
  Started s;
  s.product = p;
  s.line = first.line;
  s.warp = thread_rank() / kLanes % 4;
  if (p.a != nullptr) {
    if (!warp.fenced) fault("a matrix product without a fence before it: the registers may not be there yet", s.line);
    s.a_in_registers = true;
    for (unsigned lane = 0; lane < kLanes; ++lane) {
      const uint32_t* a = static_cast<const Member*>(members[lane])->product->a;
      for (unsigned i = 0; i < 8; ++i) {
        s.a[lane / 4 + i / 2 % 2 * 8][lane % 4 * 2 + i % 2 + i / 4 * 8] =
            p.widen(static_cast<uint16_t>(a[i / 2] >> (16 * (i % 2))));
      }
    }
  }
  s.sums = sums_of(warp, members, p, s.line);
  ++s.sums->under_way;
  if (!lazy()) compute(s);
  warp.open.push_back(std::move(s));
}

struct Wait {
  unsigned groups_left;
};

void finish(void* const* members, unsigned /*count*/) {
  Warp& warp = this_warp();
  warp.fenced = false;
  while (warp.groups.size() > static_cast<const Wait*>(members[0])->groups_left) {
    for (Started& s : warp.groups.front()) {
      compute(s);
      if (--s.sums->under_way > 0) continue;
      for (unsigned lane = 0; lane < kLanes; ++lane) {
        std::copy_n(s.sums->values.begin() + lane * s.sums->count, s.sums->count, s.sums->registers[lane]);
      }
      warp.sums.erase(std::find(warp.sums.begin(), warp.sums.end(), s.sums));
    }
    warp.groups.pop_front();
  }
}

}  // namespace

void start_product(const Product& lane, Line line) {
  if (properties(0).compute_major != 9) fault("matrix products of warpgroups are of sm_90a alone", line);
  if (block_size().x * block_size().y * block_size().z % 128 != 0) {
    fault("a matrix product of a warpgroup in a block that is not made of warpgroups", line);
  }
  Member mine{&lane, line};
  meet_warp(0xffffffffU, &mine, start, "matrix product", line);
}

void fence_products(Line line) {
  meet_warp(
      0xffffffffU, nullptr, [](void* const*, unsigned) { this_warp().fenced = true; }, "fence", line);
}

void commit_products(Line line) {
  const auto commit = [](void* const*, unsigned) {
    Warp& warp = this_warp();
    warp.groups.push_back(std::exchange(warp.open, {}));
    warp.fenced = false;
  };
  meet_warp(0xffffffffU, nullptr, commit, "commit of matrix products", line);
}

void wait_products(unsigned groups_left, Line line) {
  Wait mine{groups_left};
  meet_warp(0xffffffffU, &mine, finish, "wait for matrix products", line);
}

void set_registers(unsigned count, Line line) {
  if (count < 24 || count > 256 || count % 8 != 0) fault("registers of a thread are a multiple of 8, 24 to 256", line);
  auto& registers = products().registers;
  registers[thread_rank() / 128] = count;
  unsigned sum = 0;
  for (const auto& [group, each] : registers) sum += each * 128;
  if (sum > 65536) fault("the warpgroups ask for more registers than there are", line);
}

}  // namespace mica::cuda::emulate
