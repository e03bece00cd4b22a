#include "services/security/certs.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/base/buffer.h"
#include "common/base/status_macros.h"
#include "services/security/files.h"
#include "services/security/identity.h"
#include "services/security/x509.h"

namespace tacit {
namespace {

constexpr int kMaxDays = 825;
constexpr int kCaFactor = 10;  // the CA lasts longer than what it issues
constexpr size_t kMaxHosts = 100;
constexpr size_t kMaxPemBytes = size_t{1} << 20;
// Machines whose clocks are a little behind must accept them too.
constexpr absl::Duration kBackdate = absl::Minutes(10);

struct RoleFolder {
  ServiceRole role;
  const char* folder;
};
constexpr RoleFolder kFolders[] = {{ServiceRole::kDealer, "dealer"},
                                   {ServiceRole::kParty0, "party0"},
                                   {ServiceRole::kParty1, "party1"},
                                   {ServiceRole::kGateway, "gateway"},
                                   {ServiceRole::kOperator, "operator"}};

struct OutFile {
  std::string path;
  std::string contents;  // SECRET in a key's file
  mode_t mode;
};

std::string Join(const std::string& folder, const char* name) {
  return (std::filesystem::path(folder) / name).string();
}

absl::Status CheckOptions(const CertsOptions& options) {
  if (options.out.empty()) {
    return absl::InvalidArgumentError("no output folder given");
  }
  if (options.days < 1 || options.days > kMaxDays) {
    return absl::InvalidArgumentError(absl::StrCat(
        options.days, " days; it must be between 1 and ", kMaxDays));
  }
  if (options.hosts.size() > kMaxHosts) {
    return absl::InvalidArgumentError(
        absl::StrCat("more than ", kMaxHosts, " hosts"));
  }
  if (options.force && options.renew) {
    return absl::InvalidArgumentError(
        "force makes a new CA, renew keeps it: use one of them");
  }
  return ValidateIdentity(
      {options.trust_domain, ServiceRole::kGateway, options.gateway});
}

Identity IdentityOf(ServiceRole role, const CertsOptions& options) {
  std::string name;
  if (role == ServiceRole::kGateway) name = options.gateway;
  if (role == ServiceRole::kOperator) name = "local";
  return {options.trust_domain, role, name};
}

absl::StatusOr<CertificateAuthority> MakeOrLoadCa(const CertsOptions& options,
                                                  absl::Time now) {
  if (!options.renew) {
    return CertificateAuthority::Create(
        options.trust_domain, now - kBackdate,
        now + kCaFactor * options.days * absl::Hours(24));
  }
  CertificateAndKey root;
  ASSIGN_OR_RETURN(root.certificate,
                   ReadSmallFile(Join(options.out, "ca.pem"), kMaxPemBytes));
  ASSIGN_OR_RETURN(root.key, ReadKeyFile(Join(options.out, "ca-key.pem")));
  auto ca = CertificateAuthority::Load(root);
  SecureWipe(root.key.data(), root.key.size());
  return ca;
}

// No longer than the CA: a chain is refused when either has expired.
absl::StatusOr<absl::Time> EndOfValidity(const CertificateAuthority& ca,
                                         const CertsOptions& options,
                                         absl::Time now) {
  ASSIGN_OR_RETURN(const absl::Time ca_end, ExpiryOf(ca.certificate()));
  if (ca_end <= now) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the CA expired at ", absl::FormatTime(ca_end), "; make a new one"));
  }
  return std::min(ca_end, now + options.days * absl::Hours(24));
}

absl::StatusOr<std::vector<OutFile>> MakeFiles(const CertsOptions& options) {
  const absl::Time now = absl::Now();
  ASSIGN_OR_RETURN(const CertificateAuthority ca, MakeOrLoadCa(options, now));
  ASSIGN_OR_RETURN(CertificateAndKey root, ca.Root());
  LeafRequest request{
      "", {"localhost", "127.0.0.1", "::1"}, now - kBackdate, now};
  request.hosts.insert(request.hosts.end(), options.hosts.begin(),
                       options.hosts.end());
  ASSIGN_OR_RETURN(request.not_after, EndOfValidity(ca, options, now));
  std::vector<OutFile> files;
  for (const auto& [role, name] : kFolders) {
    request.uri = IdentityOf(role, options).Uri();
    ASSIGN_OR_RETURN(CertificateAndKey leaf, ca.Issue(request));
    const std::string folder = Join(options.out, name);
    files.push_back({Join(folder, "ca.pem"), root.certificate, 0644});
    files.push_back(
        {Join(folder, "cert.pem"), std::move(leaf.certificate), 0644});
    files.push_back({Join(folder, "key.pem"), std::move(leaf.key), 0600});
  }
  if (!options.renew) {
    files.push_back({Join(options.out, "ca-key.pem"), root.key, 0600});
    files.push_back({Join(options.out, "ca.pem"), root.certificate, 0644});
  }
  SecureWipe(root.key.data(), root.key.size());
  return files;
}

absl::Status CheckNoneExists(const std::vector<OutFile>& files) {
  for (const OutFile& file : files) {
    struct stat info;
    if (::lstat(file.path.c_str(), &info) == 0) {
      return absl::AlreadyExistsError(absl::StrCat(
          file.path,
          " is already there; --renew keeps the CA and replaces the "
          "roles' certificates, --force replaces everything"));
    }
    if (errno != ENOENT && errno != ENOTDIR) {
      return ErrnoStatus(errno, file.path);
    }
  }
  return absl::OkStatus();
}

// The mode of a folder that was there before is its owner's business: it might
// be a home folder.
absl::Status MakeFolder(const std::string& path) {
  std::error_code error;
  const bool made = std::filesystem::create_directories(path, error);
  if (error) return ErrnoStatus(error.value(), path);
  if (made && ::chmod(path.c_str(), 0700) != 0) return ErrnoStatus(errno, path);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<std::string>> MakeDevelopmentCerts(
    const CertsOptions& options) {
  RETURN_IF_ERROR(CheckOptions(options));
  ASSIGN_OR_RETURN(std::vector<OutFile> files, MakeFiles(options));
  if (!options.force && !options.renew) RETURN_IF_ERROR(CheckNoneExists(files));
  RETURN_IF_ERROR(MakeFolder(options.out));
  for (const RoleFolder& folder : kFolders) {
    RETURN_IF_ERROR(MakeFolder(Join(options.out, folder.folder)));
  }
  std::vector<std::string> written;
  absl::Status status;
  for (OutFile& file : files) {
    if (status.ok()) {
      status = WriteFileAtomically(file.path, file.contents, file.mode);
    }
    SecureWipe(file.contents.data(), file.contents.size());
    written.push_back(file.path);
  }
  RETURN_IF_ERROR(status);
  return written;
}

}  // namespace tacit
