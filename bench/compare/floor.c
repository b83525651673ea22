// floor.c: what this machine can do at best, printed as one line of JSON.
//
// Four ceilings, each with one thread and with N threads (N is the first argument, 2 by default):
//   float32 fused multiply-adds      GFLOP/s   from registers only
//   bfloat16 dot products            GFLOP/s   vdpbf16ps; null where the CPU lacks it
//   reading the last-level cache     GB/s      each thread its own part of 3/8 of it
//   reading memory                   GB/s      each thread 256 MB, huge pages where the kernel gives them
//
// Each figure is the best of several passes: a ceiling is what the machine reached, not what it reached on average.
// The share of the floor that compare.py prints is a share of these numbers.
//
// Build: gcc -O2 -pthread floor.c -o floor   (no -march: the code picks its instructions at run time)

#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { kPasses = 7, kMaxThreads = 256 };

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + 1e-9 * t.tv_nsec;
}

// A body does `rounds` rounds of its work over `words` floats at `data` and returns something that depends on it all.
typedef float (*Body)(const float* data, size_t words, long rounds);

// Twelve independent accumulators hide the latency of an addition (4 cycles, two units a core) with room to spare.
// They are separate variables, because an array of them may be kept in memory.
#define TWELVE(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)

// ---- arithmetic: 12 vector operations a step, nothing touches memory. The empty asm keeps each sum alive. ----

#define FMA_BODY(name, attributes, Vector, constraint)                  \
  attributes static float name(const float* d, size_t words, long rounds) { \
    (void)words;                                                        \
    typedef float V __attribute__((vector_size(sizeof(Vector))));       \
    const V x = (V){} + d[0], y = (V){} + d[1];                         \
    V a0 = x, a1 = x, a2 = x, a3 = x, a4 = x, a5 = x, a6 = x, a7 = x, a8 = x, a9 = x, a10 = x, a11 = x; \
    for (long r = 0; r < rounds; ++r) {                                 \
      TWELVE(FMA_STEP_##constraint)                                     \
    }                                                                   \
    V s = a0 + a1 + a2 + a3 + a4 + a5 + a6 + a7 + a8 + a9 + a10 + a11;  \
    return s[0];                                                        \
  }
#define FMA_STEP_v(i) a##i = a##i * x + y; __asm__ volatile("" : "+v"(a##i));
#define FMA_STEP_x(i) a##i = a##i * x + y; __asm__ volatile("" : "+x"(a##i));
#define FMA_STEP_w(i) a##i = a##i * x + y; __asm__ volatile("" : "+w"(a##i));

// ---- reading: 12 vectors a step are added up. ----

#define READ_BODY(name, attributes, Vector)                             \
  attributes static float name(const float* d, size_t words, long rounds) { \
    typedef float V __attribute__((vector_size(sizeof(Vector))));       \
    V a0 = {}, a1 = {}, a2 = {}, a3 = {}, a4 = {}, a5 = {}, a6 = {}, a7 = {}, a8 = {}, a9 = {}, a10 = {}, a11 = {}; \
    for (long r = 0; r < rounds; ++r) {                                 \
      const V* p = (const V*)d;                                         \
      const V* end = p + words * sizeof(float) / sizeof(V) / 12 * 12;   \
      for (; p != end; p += 12) {                                       \
        TWELVE(READ_STEP)                                               \
      }                                                                 \
    }                                                                   \
    V s = a0 + a1 + a2 + a3 + a4 + a5 + a6 + a7 + a8 + a9 + a10 + a11;  \
    return s[0];                                                        \
  }
#define READ_STEP(i) a##i += p[i];

#if defined(__x86_64__)

#define AVX512 __attribute__((target("avx512f")))
#define AVX2 __attribute__((target("avx2,fma")))
FMA_BODY(fma_avx512, AVX512, __m512, v)
FMA_BODY(fma_avx2, AVX2, __m256, x)
FMA_BODY(fma_plain, , __m128, x)
READ_BODY(read_avx512, AVX512, __m512)
READ_BODY(read_avx2, AVX2, __m256)
READ_BODY(read_plain, , __m128)

__attribute__((target("avx512f,avx512bf16"))) static float dot_bf16(const float* d, size_t words, long rounds) {
  (void)words;
  const __m512 one = _mm512_set1_ps(d[0]);
  const __m512bh x = _mm512_cvtne2ps_pbh(one, one);
  __m512 a0 = one, a1 = one, a2 = one, a3 = one, a4 = one, a5 = one;
  __m512 a6 = one, a7 = one, a8 = one, a9 = one, a10 = one, a11 = one;
#define DOT_STEP(i) a##i = _mm512_dpbf16_ps(a##i, x, x); __asm__ volatile("" : "+v"(a##i));
  for (long r = 0; r < rounds; ++r) {
    TWELVE(DOT_STEP)
  }
  return _mm512_reduce_add_ps(a0 + a1 + a2 + a3 + a4 + a5 + a6 + a7 + a8 + a9 + a10 + a11);
}

static const char* simd_name;
static Body fma_body, read_body, bf16_body;
static int lanes;

static void choose(void) {
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f")) {
    simd_name = "AVX-512", fma_body = fma_avx512, read_body = read_avx512, lanes = 16;
  } else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    simd_name = "AVX2", fma_body = fma_avx2, read_body = read_avx2, lanes = 8;
  } else {
    simd_name = "SSE2", fma_body = fma_plain, read_body = read_plain, lanes = 4;
  }
  if (__builtin_cpu_supports("avx512bf16")) bf16_body = dot_bf16;
}

#else  // Other CPUs: 128-bit vectors, which 64-bit Arm always has.

typedef float Plain __attribute__((vector_size(16)));
FMA_BODY(fma_plain, , Plain, w)
READ_BODY(read_plain, , Plain)
static const char* simd_name = "128-bit vectors";
static Body fma_body = fma_plain, read_body = read_plain, bf16_body = NULL;
static int lanes = 4;
static void choose(void) {}

#endif

// ---- running a body on several threads at once ----

struct Job {
  Body body;
  const float* data;
  size_t words;
  long rounds;
  pthread_barrier_t* start;
  double begin, end;
  volatile float sink;
};

static void* run_job(void* argument) {
  struct Job* job = argument;
  pthread_barrier_wait(job->start);
  job->begin = now();
  job->sink = job->body(job->data, job->words, job->rounds);
  job->end = now();
  return NULL;
}

// Seconds from the first thread's start to the last one's end.
static double run_once(Body body, const float* data, size_t words, long rounds, int threads) {
  struct Job jobs[kMaxThreads];
  pthread_t ids[kMaxThreads];
  pthread_barrier_t start;
  pthread_barrier_init(&start, NULL, threads);
  for (int i = 0; i < threads; ++i) {
    jobs[i] = (struct Job){.body = body, .data = data + i * words, .words = words, .rounds = rounds, .start = &start};
    pthread_create(&ids[i], NULL, run_job, &jobs[i]);
  }
  double begin = 1e300, end = 0;
  for (int i = 0; i < threads; ++i) {
    pthread_join(ids[i], NULL);
    if (jobs[i].begin < begin) begin = jobs[i].begin;
    if (jobs[i].end > end) end = jobs[i].end;
  }
  pthread_barrier_destroy(&start);
  return end - begin;
}

// The best rate, in units of 1e9 of `work` a second, where one round of one thread does `work`.
static double best_rate(Body body, const float* data, size_t words, double work, int threads) {
  long rounds = 1;
  while (run_once(body, data, words, rounds, threads) < 0.04) rounds *= 2;
  double best = 0;
  for (int i = 0; i < kPasses; ++i) {
    const double rate = work * rounds * threads / run_once(body, data, words, rounds, threads) / 1e9;
    if (rate > best) best = rate;
  }
  return best;
}

// The kernel's own figure: sysconf can give the whole machine's to a guest that sees a part of it.
static size_t last_level_cache(void) {
  for (int index = 4; index >= 2; --index) {
    char path[96], unit = 0;
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/size", index);
    FILE* file = fopen(path, "r");
    size_t size = 0;
    if (file == NULL) continue;
    const int fields = fscanf(file, "%zu%c", &size, &unit);
    fclose(file);
    if (fields >= 1 && size > 0) return size << (unit == 'K' ? 10 : unit == 'M' ? 20 : 0);
  }
  return 16u << 20;
}

static float* touched_memory(size_t bytes) {
  float* data = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) {
    perror("floor: no memory to read");
    exit(1);
  }
  madvise(data, bytes, MADV_HUGEPAGE);  // a wish: without it reading is only a little slower
  memset(data, 1, bytes);
  return data;
}

static void print_pair(const char* name, Body body, const float* data, size_t words, double work, int threads) {
  if (body == NULL) {
    printf("\"%s\": null, ", name);
    return;
  }
  const double one = best_rate(body, data, words, work, 1);
  printf("\"%s\": {\"1\": %.1f", name, one);
  if (threads > 1) printf(", \"%d\": %.1f", threads, best_rate(body, data, words, work, threads));
  printf("}, ");
}

int main(int argc, char** argv) {
  const int threads = argc > 1 ? atoi(argv[1]) : 2;
  if (threads < 1 || threads > kMaxThreads) {
    fprintf(stderr, "floor: the number of threads must be 1 to %d\n", kMaxThreads);
    return 2;
  }
  choose();
  const size_t cache = last_level_cache();
  const size_t chunk = 12 * 64;  // bytes: a multiple of what one step reads, at every vector width
  const size_t cache_words = cache * 3 / 8 / threads / chunk * chunk / sizeof(float);
  const size_t memory_words = ((size_t)256 << 20) / chunk * chunk / sizeof(float);
  float* data = touched_memory(memory_words * sizeof(float) * threads);
  const float safe[2] = {0.5f, 0.25f};  // keeps the sums finite and normal: a*0.5 + 0.25 goes to 0.5

  printf("{\"simd\": \"%s\", \"last_level_cache_bytes\": %zu, ", simd_name, cache);
  print_pair("float32_gflops", fma_body, safe, 0, 2.0 * 12 * lanes, threads);
  print_pair("bfloat16_gflops", bf16_body, safe, 0, 4.0 * 12 * 16, threads);
  print_pair("cache_read_gbs", read_body, data, cache_words, (double)cache_words * sizeof(float), threads);
  print_pair("memory_read_gbs", read_body, data, memory_words, (double)memory_words * sizeof(float), threads);
  printf("\"threads\": %d}\n", threads);
  return 0;
}
