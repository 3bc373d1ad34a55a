namespace Flotilla.Wire.Log;

/// <summary>
/// CRC32C (Castagnoli, as in RFC 3720 appendix B.4), by the processor's own instruction where it has one. A checksum may
/// be continued: <c>Compute(Compute(seed, a), b)</c> is the checksum of a followed by b.
/// </summary>
public static class Crc32C
{
    /// <summary>The checksum of <paramref name="bytes"/>, continuing <paramref name="seed"/> (0 to begin).</summary>
    public static uint Compute(uint seed, ReadOnlySpan<byte> bytes) => Topology.Sealing.Crc32C.Compute(seed, bytes);
}
