/* Tokenizers and chat templates of Hugging Face model folders: the C interface
 * of the Rust library in this folder. C++ code uses common/models/tokenizer.h.
 *
 * Calls that can fail return 0, or the code of an absl::StatusCode and a
 * message in `error`, to be freed. `out` is written on success only. A
 * TacitTokenizer is immutable: any number of threads may use one. */
#ifndef TACIT_TOKENIZER_TACIT_TOKENIZER_H_
#define TACIT_TOKENIZER_TACIT_TOKENIZER_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct TacitTokenizer TacitTokenizer;
typedef struct TacitDecodeStream TacitDecodeStream;

/* Borrowed for the call. Must be UTF-8, which is checked. */
typedef struct {
  const uint8_t* data;
  size_t size;
} TacitSlice;

/* Owned by the library until freed; freeing one of zeros does nothing. */
typedef struct {
  uint8_t* data;
  size_t size;
} TacitBytes;
typedef struct {
  uint32_t* data;
  size_t size;
} TacitIds;
/* Ids of a pair of texts, and which of the two each is of: as many. Both to be
 * freed. */
typedef struct {
  TacitIds ids;
  TacitIds segments;
} TacitPair;

void tacit_bytes_free(TacitBytes bytes);
void tacit_ids_free(TacitIds ids);

int32_t tacit_tokenizer_load(TacitSlice folder, TacitTokenizer** out,
                             TacitBytes* error);
void tacit_tokenizer_free(TacitTokenizer* tokenizer);

/* One more than the largest id. */
uint32_t tacit_tokenizer_vocab_size(const TacitTokenizer* tokenizer);
bool tacit_tokenizer_has_chat_template(const TacitTokenizer* tokenizer);
/* -1 if there is none. `role` is "bos_token", "eos_token", ... */
int64_t tacit_tokenizer_id_of(const TacitTokenizer* tokenizer,
                              TacitSlice token);
int64_t tacit_tokenizer_role_id(const TacitTokenizer* tokenizer,
                                TacitSlice role);
int32_t tacit_tokenizer_token_of(const TacitTokenizer* tokenizer, uint32_t id,
                                 TacitBytes* out, TacitBytes* error);

int32_t tacit_tokenizer_encode(const TacitTokenizer* tokenizer, TacitSlice text,
                               bool add_special, bool parse_special,
                               TacitIds* out, TacitBytes* error);
/* With what the model wants around both; text stays text. */
int32_t tacit_tokenizer_encode_pair(const TacitTokenizer* tokenizer,
                                    TacitSlice first, TacitSlice second,
                                    TacitPair* out, TacitBytes* error);
int32_t tacit_tokenizer_decode(const TacitTokenizer* tokenizer,
                               const uint32_t* ids, size_t size,
                               bool skip_special, TacitBytes* out,
                               TacitBytes* error);

/* `chat` is a JSON object of the template's variables, `messages` above all;
 * `now` is what the template's clock shows, in seconds since 1970. */
int32_t tacit_tokenizer_render_chat(const TacitTokenizer* tokenizer,
                                    TacitSlice chat, int64_t now,
                                    TacitBytes* out, TacitBytes* error);
int32_t tacit_tokenizer_encode_chat(const TacitTokenizer* tokenizer,
                                    TacitSlice chat, int64_t now, TacitIds* out,
                                    TacitBytes* error);

/* A stream belongs to one thread at a time; give it the same tokenizer at each
 * call. */
TacitDecodeStream* tacit_decode_stream_new(bool skip_special);
void tacit_decode_stream_free(TacitDecodeStream* stream);
int32_t tacit_decode_stream_step(TacitDecodeStream* stream,
                                 const TacitTokenizer* tokenizer, uint32_t id,
                                 TacitBytes* out, TacitBytes* error);
int32_t tacit_decode_stream_finish(TacitDecodeStream* stream,
                                   const TacitTokenizer* tokenizer,
                                   TacitBytes* out, TacitBytes* error);

#ifdef __cplusplus
}
#endif

#endif /* TACIT_TOKENIZER_TACIT_TOKENIZER_H_ */
