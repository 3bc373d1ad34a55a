using Flotilla.Cli.Backup;
using Flotilla.Cli.Tests.Fakes;
using Flotilla.Wire.Backups;
using Flotilla.Wire.Log;

namespace Flotilla.Cli.Tests.Backups;

/// <summary>The file: what was written comes back, and whatever else is refused with the place.</summary>
public sealed class Format
{
    private static readonly string Large = new('x', 700_000);

    [Fact]
    public async Task What_was_written_is_read_again()
    {
        var path = Samples.Write(1000, [Samples.Put("a", "1"), Samples.Put("b", Large), Samples.Put("c", "3", ttlMs: 5000)], [], [Samples.Put("d", "")]);
        var (summary, records) = await Samples.ReadAsync(path);
        Assert.Equal((3, 4, new FileInfo(path).Length, "0000000000001234", "2023-11-14T22:13:20.000Z"), (summary.Shards, summary.Records, summary.Bytes, summary.ClusterId, summary.BegunAt));
        Assert.Equal(("1", 0L), records["a"]);
        Assert.Equal((Large, 0L), records["b"]);
        Assert.Equal(("3", 6000L), records["c"]);
        Assert.Equal(("", 0L), records["d"]);
        Assert.Equal([path], Directory.GetFiles(Path.GetDirectoryName(path)!));
    }

    [Fact]
    public async Task The_content_digest_depends_on_records_alone()
    {
        var one = await Samples.ReadAsync(Samples.Write(1000, [Samples.Put("a", "1"), Samples.Put("b", "2")]));
        var two = await Samples.ReadAsync(Samples.Write(9000, [Samples.Put("b", "0"), Samples.Put("b", "2")], [Samples.Put("a", "1")]));
        var other = await Samples.ReadAsync(Samples.Write(1000, [Samples.Put("a", "12"), Samples.Put("b", "")]));
        Assert.Equal(one.Summary.Content, two.Summary.Content);
        Assert.NotEqual(one.Summary.Content, other.Summary.Content);
    }

    [Fact]
    public async Task Every_flipped_bit_is_noticed_and_its_frame_named()
    {
        var bytes = await File.ReadAllBytesAsync(Samples.Write(1000, [Samples.Put("a", "1")], [Samples.Put("b", "2")]), TestContext.Current.CancellationToken);
        var begins = await FramesOfAsync(bytes);
        for (var bit = 0; bit < bytes.Length * 8; bit++)
        {
            bytes[bit / 8] ^= (byte)(1 << (bit % 8));
            var damage = await Assert.ThrowsAsync<BackupDamagedException>(() => Samples.ReadAsync(new MemoryStream(bytes)));
            Assert.Equal(begins.Last(b => b <= bit / 8), damage.Offset);
            bytes[bit / 8] ^= (byte)(1 << (bit % 8));
        }

        await Samples.ReadAsync(new MemoryStream(bytes));
    }

    [Fact]
    public async Task A_cut_file_is_noticed_wherever_it_is_cut_and_so_is_a_longer_one()
    {
        var bytes = await File.ReadAllBytesAsync(Samples.Write(1000, [Samples.Put("a", "1")], []), TestContext.Current.CancellationToken);
        for (var length = 0; length < bytes.Length; length++)
        {
            var damage = await Assert.ThrowsAsync<BackupDamagedException>(() => Samples.ReadAsync(new MemoryStream(bytes[..length])));
            Assert.InRange(damage.Offset, 0, length);
        }

        var longer = await Assert.ThrowsAsync<BackupDamagedException>(() => Samples.ReadAsync(new MemoryStream([.. bytes, 0])));
        Assert.Equal(bytes.Length, longer.Offset);
    }

    [Fact]
    public async Task Frames_that_are_missing_doubled_or_in_another_order_are_noticed()
    {
        var bytes = await File.ReadAllBytesAsync(Samples.Write(1000, [Samples.Put("a", "1")], [Samples.Put("b", "2")]), TestContext.Current.CancellationToken);
        var begins = await FramesOfAsync(bytes);
        for (var i = 1; i + 1 < begins.Count; i++)
        {
            byte[] before = bytes[..begins[i]], frame = bytes[begins[i]..begins[i + 1]], after = bytes[begins[i + 1]..];
            await Assert.ThrowsAsync<BackupDamagedException>(() => Samples.ReadAsync(new MemoryStream([.. before, .. after])));
            await Assert.ThrowsAsync<BackupDamagedException>(() => Samples.ReadAsync(new MemoryStream([.. before, .. frame, .. frame, .. after])));
            if (i + 2 < begins.Count)
            {
                byte[] next = bytes[begins[i + 1]..begins[i + 2]], rest = bytes[begins[i + 2]..];
                await Assert.ThrowsAsync<BackupDamagedException>(() => Samples.ReadAsync(new MemoryStream([.. before, .. next, .. frame, .. rest])));
            }
        }
    }

    [Fact]
    public async Task A_shard_that_was_dropped_leaves_no_trace()
    {
        var path = Path.Combine(Terminal.TempDir(), "b");
        using (var file = BackupFile.Create(path, new BackupHead(Samples.ClusterId, 0, 1)))
        {
            var image = Samples.ImageOf(1000, Samples.Put("a", Large));
            var blocks = Samples.Blocks(image);
            file.Begin(new BackupShard(Samples.ClusterId, 1));
            file.Add(blocks[0]);
            file.Add(blocks[1]);
            file.Add(blocks[2]);
            file.Drop();
            file.Begin(new BackupShard(Samples.ClusterId, 1));
            blocks.ForEach(block => file.Add(block));
            file.End(new BackupShardEnd(blocks.Count, 1));
            file.Complete();
        }

        Assert.Equal(Large, (await Samples.ReadAsync(path)).Records["a"].Value);
    }

    [Fact]
    public void A_backup_that_is_not_completed_leaves_nothing_and_keeps_the_older_one()
    {
        var path = Samples.Write(1000, [Samples.Put("a", "1")]);
        var before = File.ReadAllBytes(path);
        using (var file = BackupFile.Create(path, new BackupHead(Samples.ClusterId, 0, 1)))
        {
            file.Begin(new BackupShard(Samples.ClusterId, 1));
            Assert.Throws<IOException>(() => BackupFile.Create(path, new BackupHead(Samples.ClusterId, 0, 1)));
        }

        Assert.Equal([path], Directory.GetFiles(Path.GetDirectoryName(path)!));
        Assert.Equal(before, File.ReadAllBytes(path));
    }

    private static async Task<List<int>> FramesOfAsync(byte[] bytes)
    {
        var begins = new List<int> { 0 };
        var stream = new MemoryStream(bytes) { Position = BackupFormat.Magic.Length };
        var frames = new BackupFrameReader(stream, Crc32C.Compute(0, BackupFormat.Magic), BackupFormat.Magic.Length);
        while (await frames.ReadAsync(TestContext.Current.CancellationToken) is { } frame)
        {
            begins.Add((int)frame.Offset);
        }

        return begins;
    }
}
