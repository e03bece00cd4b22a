#include "services/transport/testing.h"

#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "absl/strings/str_cat.h"

namespace tacit {
namespace {

template <typename Write>
std::string Pem(Write write) {
  BIO* const bio = BIO_new(BIO_s_mem());
  write(bio);
  char* data;
  const long size = BIO_get_mem_data(bio, &data);  // NOLINT(google-runtime-int)
  std::string text(data, size);
  BIO_free(bio);
  return text;
}

void AddExtension(X509* certificate, int nid, const char* value) {
  X509_EXTENSION* const extension =
      X509V3_EXT_conf_nid(nullptr, nullptr, nid, value);
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

}  // namespace

TestCertificate MakeSelfSigned() {
  EVP_PKEY* const key = EVP_EC_gen("P-256");
  X509* const certificate = X509_new();
  X509_set_version(certificate, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
  X509_set_pubkey(certificate, key);
  X509_NAME* const name = X509_get_subject_name(certificate);
  X509_NAME_add_entry_by_txt(
      name, "CN", MBSTRING_ASC,
      reinterpret_cast<const unsigned char*>("tacit test"), -1, -1, 0);
  X509_set_issuer_name(certificate, name);
  AddExtension(certificate, NID_basic_constraints, "critical,CA:TRUE");
  AddExtension(certificate, NID_subject_alt_name, "IP:127.0.0.1");
  X509_sign(certificate, key, EVP_sha256());
  TestCertificate made;
  made.key = Pem([&](BIO* bio) {
    PEM_write_bio_PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr);
  });
  made.certificate =
      Pem([&](BIO* bio) { PEM_write_bio_X509(bio, certificate); });
  X509_free(certificate);
  EVP_PKEY_free(key);
  return made;
}

TestCredentials Insecure() {
  return {grpc::InsecureServerCredentials(),
          grpc::InsecureChannelCredentials()};
}

TestCredentials Tls(const TestCertificate& certificate) {
  grpc::SslServerCredentialsOptions server(
      GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  server.pem_key_cert_pairs.push_back(
      {certificate.key, certificate.certificate});
  server.pem_root_certs = certificate.certificate;
  grpc::SslCredentialsOptions client;
  client.pem_root_certs = certificate.certificate;
  client.pem_private_key = certificate.key;
  client.pem_cert_chain = certificate.certificate;
  return {grpc::SslServerCredentials(server), grpc::SslCredentials(client)};
}

TestServer::TestServer(const TransportOptions& options,
                       const TestCredentials& credentials,
                       const std::vector<grpc::Service*>& services,
                       PeerService* peer)
    : services_(services), peer_(peer) {
  grpc::ServerBuilder builder;
  ApplyTransportOptions(options, builder);
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", credentials.server, &port);
  for (grpc::Service* service : services) {
    TACIT_INTO_GRPC(service);
    builder.RegisterService(service);
  }
  if (peer_ != nullptr) {
    TACIT_INTO_GRPC(peer_);
    peer_->AddTo(builder);
  }
  server_ = builder.BuildAndStart();
  if (server_ == nullptr || port == 0) {
    std::fputs("cannot listen on loopback\n", stderr);
    std::abort();
  }
  if (peer_ != nullptr) peer_->Start();
  address_ = absl::StrCat("127.0.0.1:", port);
}

void TestServer::Stop() {
  server_->Shutdown(std::chrono::system_clock::now());
  server_->Wait();
  if (peer_ != nullptr) TACIT_OUT_OF_GRPC(peer_);
  for (grpc::Service* service : services_) TACIT_OUT_OF_GRPC(service);
}

TestServer::~TestServer() {
  Stop();
  if (peer_ != nullptr) peer_->Finish();
}

}  // namespace tacit
