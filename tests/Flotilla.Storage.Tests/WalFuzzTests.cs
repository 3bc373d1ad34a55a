using System.Buffers.Binary;
using Flotilla.Raft;
using Flotilla.Testing;
using Flotilla.Wire.Log;

namespace Flotilla.Storage.Tests;

/// <summary>Recovery over bytes that nobody wrote: it opens or refuses, and never fails in another way.</summary>
public sealed class WalFuzzTests
{
    [Fact]
    public void Random_bytes_are_refused_or_empty_and_nothing_else()
    {
        var random = new SplitMix64(11);
        for (var round = 0; round < 2000; round++)
        {
            var bytes = new byte[random.Below(4096)];
            Fill(bytes, ref random);
            var disk = new SimulatedDisk();
            disk.SetContent("00000001.wal", bytes);
            OpenOrRefuse(disk);
        }
    }

    [Fact]
    public void Random_bytes_behind_a_sound_header_are_refused_or_cut()
    {
        var random = new SplitMix64(12);
        var log = SmallLog.Make(6, close: false);
        for (var round = 0; round < 3000; round++)
        {
            var content = log.Disk.Content(log.CurrentFile);
            var from = 512 + (int)random.Below(content.Length - 512);
            Fill(content.AsSpan(from, (int)random.Below(content.Length - from)), ref random);
            var disk = log.Disk.Copy();
            disk.SetContent(log.CurrentFile, content);
            _ = log.Open(disk, $"round {round}");
        }
    }

    /// <summary>
    /// Random changes inside the records, with every checksum made good again: the checksums hide nothing from the parser,
    /// whose own checks must hold.
    /// </summary>
    [Fact]
    public void Records_that_make_no_sense_under_sound_checksums_are_refused()
    {
        var random = new SplitMix64(13);
        var log = SmallLog.Make(7, close: false);
        int opened = 0, refused = 0;
        for (var round = 0; round < 20_000; round++)
        {
            var content = log.Disk.Content(log.CurrentFile);
            for (var changes = 1 + random.Below(3); changes > 0; changes--)
            {
                var at = 512 + (int)random.Below(1100);
                switch (random.Below(4))
                {
                    case 0:
                        content[at] = (byte)random.Next();
                        break;
                    case 1:
                        BinaryPrimitives.WriteUInt32LittleEndian(content.AsSpan(at & ~3), uint.MaxValue >> (int)random.Below(32));
                        break;
                    case 2:
                        BinaryPrimitives.WriteUInt64LittleEndian(content.AsSpan(at & ~7), ulong.MaxValue >> (int)random.Below(64));
                        break;
                    default:
                        content[(at & ~7) + 8] = (byte)random.Below(12);
                        break;
                }
            }

            Reseal(content);
            var disk = new SimulatedDisk();
            disk.SetContent(log.CurrentFile, content);
            _ = OpenOrRefuse(disk) ? opened++ : refused++;
        }

        Assert.True(opened > 1000, $"{opened} opened");
        Assert.True(refused > 1000, $"{refused} refused");
    }

    private static bool OpenOrRefuse(SimulatedDisk disk)
    {
        try
        {
            using var wal = Wal.Open(disk, SmallLog.Options with { MustExist = false });
            foreach (var group in wal.Groups.ToArray())
            {
                var recovered = wal.Recovered(group);
                _ = wal.TryRead(group, wal.FirstIndex(group), recovered.LastIndex, 1 << 20, []);
            }

            return true;
        }
        catch (WalCorruptException)
        {
            return false;
        }
    }

    // Walks over the batches as far as their lengths lead, and makes each checksum fit what is there.
    private static void Reseal(byte[] content)
    {
        var previous = BinaryPrimitives.ReadUInt32LittleEndian(content.AsSpan(508));
        var generation = BinaryPrimitives.ReadUInt64LittleEndian(content.AsSpan(16));
        var at = 512;
        while (at + BatchHeader.Bytes <= content.Length)
        {
            var batch = content.AsSpan(at);
            var bytes = BinaryPrimitives.ReadUInt32LittleEndian(batch[32..]);
            if (bytes < BatchHeader.Bytes || bytes > batch.Length || bytes % 8 != 0)
            {
                return;
            }

            var records = batch[BatchHeader.Bytes..(int)bytes];
            uint count = 0;
            for (var rest = records; rest.Length >= RecordHead.MinRecordBytes;)
            {
                var length = RecordHead.Length(rest);
                if (length == 0 || length > rest.Length)
                {
                    return;
                }

                RecordHead.Seal(rest[..length]);
                rest = rest[length..];
                count++;
            }

            var header = new BatchHeader((BatchKind)batch[9], count, generation, (ulong)at, bytes, previous, 0);
            if (header.ComputeChecksum(records, verify: true) is not { } checksum)
            {
                return;
            }

            (header with { Checksum = checksum }).Write(batch);
            previous = checksum;
            at += (int)bytes;
        }
    }

    private static void Fill(Span<byte> bytes, ref SplitMix64 random)
    {
        foreach (ref var value in bytes)
        {
            value = (byte)random.Next();
        }
    }
}
