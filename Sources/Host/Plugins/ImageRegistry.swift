import CLinux
import ELF
import Glibc

/// The images of this process. An image is its bytes: the same ones, by whatever path, are the same image, loaded once.
/// There is one registry in a process, on its control thread. [main]
public final class ImageRegistry {
    private let limits: ImageLimits
    private let probeCommand: ProbeCommand
    private var images: [[UInt8]: PluginImage] = [:]
    private var handles: Set<UnsafeMutableRawPointer> = []

    /// Those that are usable, in the order of their digests.
    public var all: [PluginImage] { images.values.sorted { $0.digest < $1.digest } }

    /// Images that were mapped since the process began, those included whose entry was refused after that.
    public private(set) var count = 0
    /// Bytes of their files, which stay in memory.
    public private(set) var bytes = 0

    public init(limits: ImageLimits = ImageLimits(), probe: ProbeCommand = ProbeCommand()) {
        self.limits = limits
        probeCommand = probe
        // Which file it was that runs is known from here on.
        _ = OwnExecutable.path
    }

    /// Loads a plugin, or finds it loaded. A new image blocks the caller for some milliseconds, at most for the probe's
    /// time limit and a second.
    /// - Parameters:
    ///   - path: Of the `.so` file; relative ones count from the working directory.
    ///   - pin: The SHA-256 that the file must have, 32 bytes; nil for any.
    ///   - allowGroupWritable: Takes a file or directory that its group may write.
    public func load(
        path: String, pin: [UInt8]?, allowGroupWritable: Bool
    ) -> Result<PluginImage, ImageRefusal> {
        do throws(ImageFault) {
            // All checks of the file come first, also for bytes that are known: a path that is not to be trusted is
            // refused on the day it is configured, not on the day its content changes.
            let file = try ImageFile.read(path: path, allowGroupWritable: allowGroupWritable, limit: limits.fileBytes)
            try checkPin(pin, file.digest)
            if let image = images[file.digest] { return .success(image) }
            if case .failure(let fault) = checkELF(file.bytes) { throw ImageFault(fault) }
            try checkLimits(file.bytes.count)
            _ = try probe(file, with: probeCommand)
            let image = try map(file)
            images[file.digest] = image
            return .success(image)
        } catch {
            return .failure(error.refusal(of: path))
        }
    }

    private func checkLimits(_ size: Int) throws(ImageFault) {
        let remedy = "images stay until the process ends: restart the gateway"
        guard count < limits.count else {
            throw ImageFault(
                .tooManyImages, "\(count) plugin images are loaded and at most \(limits.count) are taken; \(remedy)")
        }
        guard size <= limits.bytes - bytes else {
            throw ImageFault(
                .tooManyBytes,
                "plugin images of \(bytes) bytes are loaded, this one has \(size), and at most \(limits.bytes) are "
                    + "taken; \(remedy)")
        }
    }

    private func map(_ file: ImageFile) throws(ImageFault) -> PluginImage {
        let flags = RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE
        guard let handle = dlopen("/proc/self/fd/\(file.descriptor)", flags) else { throw loadFault() }
        // From here on the image is there for good, whatever its entry answers.
        file.keepDescriptor()
        guard handles.insert(handle).inserted else {
            throw ImageFault(
                .handleKnown, "the dynamic linker took it for an image that is loaded; report this bug, and restart")
        }
        count += 1
        bytes += file.bytes.count
        let plugin = try callEntry(of: handle)
        let description = try ImageDescription(plugin)
        return PluginImage(
            digest: hexadecimal(file.digest), path: file.path, size: file.bytes.count, entry: plugin,
            description: description)
    }
}

/// Compares the pin of a configuration with what was read.
private func checkPin(_ pin: [UInt8]?, _ digest: [UInt8]) throws(ImageFault) {
    guard let pin, pin != digest else { return }
    throw ImageFault(
        .pinMismatch,
        "its sha256 is \(hexadecimal(digest)), and the configuration demands \(hexadecimal(pin)); deploy the file that "
            + "was meant, or change the pin")
}
