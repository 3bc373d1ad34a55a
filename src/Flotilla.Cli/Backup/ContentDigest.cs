using System.Buffers.Binary;
using System.Security.Cryptography;

namespace Flotilla.Cli.Backup;

/// <summary>
/// A digest of keys and values alone, whatever their order: equal for two backups with the same records, however many shards
/// they come from. The sum, modulo 2^128, of the first half of each record's SHA-256. It finds differences, not forgeries.
/// </summary>
internal sealed class ContentDigest : IDisposable
{
    private readonly IncrementalHash _hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);

    /// <summary>What a record adds to the sum.</summary>
    public UInt128 Of(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value)
    {
        Span<byte> buffer = stackalloc byte[SHA256.HashSizeInBytes];
        BinaryPrimitives.WriteInt32LittleEndian(buffer, key.Length);
        _hash.AppendData(buffer[..sizeof(int)]);
        _hash.AppendData(key);
        _hash.AppendData(value);
        _hash.GetHashAndReset(buffer);
        return BinaryPrimitives.ReadUInt128LittleEndian(buffer);
    }

    /// <summary>A sum as text.</summary>
    public static string Show(UInt128 sum) => sum.ToString("x32");

    /// <inheritdoc/>
    public void Dispose() => _hash.Dispose();
}
