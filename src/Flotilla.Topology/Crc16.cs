namespace Flotilla.Topology;

/// <summary>
/// CRC-16/XMODEM (polynomial 0x1021, start 0, not reflected): the checksum by which Redis Cluster maps keys to slots
/// (Redis Cluster specification, appendix A). Pure and thread-safe.
/// </summary>
public static class Crc16
{
    private static readonly ushort[] Table = MakeTable();

    /// <summary>The checksum of <paramref name="data"/>; 0 for nothing.</summary>
    public static ushort Compute(ReadOnlySpan<byte> data)
    {
        var table = Table;
        uint crc = 0;
        foreach (var b in data)
        {
            crc = ((crc << 8) ^ table[(byte)((crc >> 8) ^ b)]) & 0xFFFF;
        }

        return (ushort)crc;
    }

    private static ushort[] MakeTable()
    {
        var table = new ushort[256];
        for (var i = 0; i < table.Length; i++)
        {
            var crc = i << 8;
            for (var bit = 0; bit < 8; bit++)
            {
                crc = (crc & 0x8000) != 0 ? (crc << 1) ^ 0x1021 : crc << 1;
            }

            table[i] = (ushort)crc;
        }

        return table;
    }
}
