using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Flotilla.Cli.Load;

/// <summary>How far a load has come: everything before this place is acknowledged.</summary>
/// <param name="Offset">Bytes of the input that are done.</param>
/// <param name="Line">Lines that are done.</param>
/// <param name="Records">Records that are done.</param>
/// <param name="Fingerprint">SHA-256 of the input's first bytes (at most 64 KiB, at most <paramref name="Offset"/>), so that another file is not taken for this one; empty for standard input.</param>
/// <param name="Format">How the input is written, since a line in its middle may look like something else; null before the first line.</param>
internal sealed record Checkpoint(long Offset, long Line, long Records, string Fingerprint, string? Format = null)
{
    private const int FingerprintBytes = 64 << 10;

    /// <summary>The checkpoint in a file, or null if there is no such file. Throws <see cref="FormatException"/> for anything else in it.</summary>
    public static Checkpoint? Read(string path)
    {
        if (!File.Exists(path))
        {
            return null;
        }

        try
        {
            return JsonSerializer.Deserialize(File.ReadAllBytes(path), CheckpointJson.Default.Checkpoint) is { Offset: >= 0, Line: >= 0, Fingerprint: not null } checkpoint
                ? checkpoint
                : throw new FormatException();
        }
        catch (Exception problem) when (problem is JsonException or FormatException)
        {
            throw new FormatException($"{path} is no progress file of `flotilla load`: remove it to begin anew, or name another with --progress-file", problem);
        }
    }

    /// <summary>Writes it in one step, so that an interruption leaves the old one or the new one. Not synced: after a power failure an older one only repeats some puts.</summary>
    public void Write(string path)
    {
        var scratch = path + ".new";
        File.WriteAllBytes(scratch, JsonSerializer.SerializeToUtf8Bytes(this, CheckpointJson.Default.Checkpoint));
        File.Move(scratch, path, overwrite: true);
    }

    /// <summary>What identifies the beginning of a file.</summary>
    public static string FingerprintOf(Stream file, long offset)
    {
        var head = new byte[Math.Min(offset, FingerprintBytes)];
        file.Position = 0;
        var read = file.ReadAtLeast(head, head.Length, throwOnEndOfStream: false);
        return Convert.ToHexString(SHA256.HashData(head.AsSpan(0, read)));
    }
}

/// <summary>Source-generated JSON of progress files.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase)]
[JsonSerializable(typeof(Checkpoint))]
internal sealed partial class CheckpointJson : JsonSerializerContext;
