namespace Flotilla.Topology;

/// <summary>
/// CRC-32 of IEEE 802.3 (as zip, gzip and PNG use it): the points of the ring. Not the CRC32C of the disk formats.
/// Pure and thread-safe; a ring computes some ten thousand of them, so a plain table is fast enough.
/// </summary>
public static class Crc32
{
    private static readonly uint[] Table = MakeTable();

    /// <summary>The checksum of <paramref name="data"/>; 0 for nothing.</summary>
    public static uint Compute(ReadOnlySpan<byte> data) => Continue(0, data);

    /// <summary>The checksum of what <paramref name="crc"/> is the checksum of, followed by <paramref name="data"/>.</summary>
    public static uint Continue(uint crc, ReadOnlySpan<byte> data)
    {
        var table = Table;
        crc = ~crc;
        foreach (var b in data)
        {
            crc = table[(byte)(crc ^ b)] ^ (crc >> 8);
        }

        return ~crc;
    }

    private static uint[] MakeTable()
    {
        var table = new uint[256];
        for (uint i = 0; i < table.Length; i++)
        {
            var crc = i;
            for (var bit = 0; bit < 8; bit++)
            {
                crc = (crc & 1) != 0 ? (crc >> 1) ^ 0xEDB88320 : crc >> 1;
            }

            table[i] = crc;
        }

        return table;
    }
}
